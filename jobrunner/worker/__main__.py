"""`python -m jobrunner.worker`: started by the supervisor, with its settings on standard input."""

import sys

import uvloop

from jobrunner import log
from jobrunner.runner.capture import leave_job
from jobrunner.runner.descriptors import close_stdin, keep_descriptors
from jobrunner.runner.forks import ForkGuard, frame_of_loop
from jobrunner.runner.prctl import die_with_parent
from jobrunner.worker.settings import WorkerSettings, decode_settings
from jobrunner.worker.worker import Worker


def main() -> int:
    """Work until told to stop."""
    keep_descriptors()
    settings = decode_settings(sys.stdin.buffer.read())
    close_stdin()
    die_with_parent(settings.reaper)
    log.configure(settings.log_level)
    if settings.raw_output is not None:
        log.divert(*settings.raw_output)
    # Last of all: a module of the user's must not shadow one that the worker needs.
    sys.path.insert(0, settings.folder)
    return uvloop.run(_work(settings))


async def _work(settings: WorkerSettings) -> int:
    worker = Worker(settings)
    guard = ForkGuard(worker.descriptors, in_child=leave_job, loop_frame=frame_of_loop())
    guard.install()
    return await worker.run()


if __name__ == "__main__":
    sys.exit(main())
