"""jobrunner: crons, queues and locks from one YAML file. Importing this costs milliseconds."""

from jobrunner.tasks import cron, task

__all__ = ["cron", "task"]
