"""Output that a task takes for a failure (`fail_when`), though the exit code is a success."""

from jobrunner.manifest.parts import FailWhen
from jobrunner.model import JobError
from jobrunner.patterns import matches
from jobrunner.runner.failures import quoted_line
from jobrunner.runner.lines import LineSplitter
from jobrunner.runner.masking import Masker
from jobrunner.store.logs import Stream

LONGEST_LINE = 64 << 10  # bytes matched as one; what is kept of the output has no say


class OutputWatch:
    """Looks at each line for a pattern, as it comes, until one matches."""

    def __init__(self, pattern: str, masker: Masker) -> None:
        self._pattern = pattern
        self._masker = masker
        self._splitters: dict[Stream, LineSplitter] = {}
        self.found: str | None = None  # what is wrong with a line

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take output as it comes."""
        if self.found is not None:
            return
        splitter = self._splitters.get(stream)
        if splitter is None:
            splitter = self._splitters[stream] = LineSplitter(LONGEST_LINE, self._masker)
        self._look_at(splitter.feed(data))

    def end(self) -> None:
        """The output is complete: a last line may have no end."""
        for splitter in self._splitters.values():
            if self.found is None:
                self._look_at(splitter.flush())

    def _look_at(self, lines: list[tuple[str, int]]) -> None:
        for text, _ in lines:
            try:
                if matches(self._pattern, text, anywhere=True):
                    self.found = f"its output matches {self._pattern!r}{quoted_line(text)}"
                    return
            except ValueError as error:
                # What cannot be looked at is no success unseen.
                self.found = f"a line of its output cannot be looked at: it {error}"
                return


def stderr_fault(fail_when: FailWhen, has_stderr: bool, last_line: str) -> str | None:
    """Whether anything on stderr is a failure, to follow "exit code 0, but"."""
    if fail_when.stderr and has_stderr:
        return f"it wrote to its standard error{quoted_line(last_line)}"
    return None


def output_error(code: int, what: str) -> JobError:
    """For an exit code of a success with output of a failure."""
    return JobError(type="output", message=f"exit code {code}, but {what}", exit_code=code)
