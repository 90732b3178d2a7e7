"""Why a cron cannot be used."""

from jobrunner.errors import JobrunnerError, UsageError


class InvalidCron(UsageError):
    """The expression, interval or time zone of a cron cannot be used.

    `excerpt` is the expression with a caret line under the bad part, where there is one.
    """

    def __init__(self, what: str, *, why: str, fix: str, excerpt: str | None = None) -> None:
        super().__init__(what, why=why, fix=fix)
        self.excerpt = excerpt


class NeverFires(JobrunnerError):
    """The cron has no fire time in a whole cycle of the calendar, 400 years."""
