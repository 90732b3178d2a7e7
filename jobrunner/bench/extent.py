"""How much a run of the benchmark does, and where."""

from dataclasses import dataclass

from jobrunner.errors import UsageError

JOBS = 20_000
QUICK_JOBS = 1_000
REPEAT = 3
QUICK_REPEAT = 1
QUICKER = 20  # a quick run does so many times less of everything else


@dataclass(frozen=True, slots=True)
class Extent:
    """What the user asked for. `jobs` is for one run of a case of no-op jobs.

    `url` is a store of the user's, in which a run has a namespace of its own; None: a server of
    the run's own. Raises UsageError.
    """

    jobs: int = JOBS
    repeat: int = REPEAT
    is_quick: bool = False
    url: str | None = None

    def __post_init__(self) -> None:
        for option, value, least in (("--jobs", self.jobs, 2), ("--repeat", self.repeat, 1)):
            if value < least:
                raise UsageError(
                    f"{option} is {value}",
                    why="a rate needs two ends of jobs, a median one run",
                    fix=f"give a number from {least} on",
                )

    def scaled(self, usual: int) -> int:
        """`usual`, or much less for a quick run."""
        return max(usual // QUICKER, 1) if self.is_quick else usual
