"""jobrunner: crons, queues and locks from one YAML file. Importing this costs milliseconds."""

from jobrunner.tasks import cron, task

__all__ = ["__version__", "cron", "task"]

__version__ = "0.1.0"
