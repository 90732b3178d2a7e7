"""Bytes of a stream become lines: split, masked, freed of progress bars, cut if too long. Pure."""

from jobrunner.runner.masking import Masker


class LineSplitter:
    """Lines of one stream, each with its number of bytes, line end included.

    Of a line with carriage returns (a progress bar) the last state is kept, and only that counts: a
    bar may be redrawn a million times, and must not push out what can be read. A line longer than
    `longest` bytes becomes several. What is not UTF-8 is replaced by U+FFFD.
    """

    def __init__(self, longest: int, masker: Masker) -> None:
        self._longest = longest
        self._masker = masker
        # The unfinished line: what is masked already, then what came since, as it came. The first
        # `_covered` bytes of that belong to a secret that is masked.
        self._shown = b""
        self._rest = b""
        self._covered = 0

    def feed(self, data: bytes) -> list[tuple[str, int]]:
        """The lines that `data` completes."""
        *whole, rest = (self._rest + data).split(b"\n")
        lines: list[tuple[str, int]] = []
        for line in whole:
            self._finish(line, 1, lines)
        self._rest = rest
        self._hide_overwritten()
        self._cut_long(lines)
        return lines

    def flush(self) -> list[tuple[str, int]]:
        """The last line, when no line end followed it."""
        lines: list[tuple[str, int]] = []
        if self._shown or self._rest:
            self._finish(self._rest, 0, lines)
            self._rest = b""
        return lines

    def _finish(self, line: bytes, line_end: int, lines: list[tuple[str, int]]) -> None:
        state = _last_state(line)
        if len(state) < len(line.rstrip(b"\r")):
            self._shown, self._covered = b"", 0  # overwritten
        is_last = line_end == 0
        line = self._shown + self._masker.mask_bytes(state, self._covered, is_cut=is_last)
        self._shown, self._covered = b"", 0
        while len(line) > self._longest:
            piece, line = _cut(line, self._longest)
            lines.append((_decode(piece), len(piece)))
        lines.append((_decode(line), len(line) + line_end))

    def _hide_overwritten(self) -> None:
        if b"\r" in self._rest:
            state = _last_state(self._rest, keep_end=True)
            if len(state) < len(self._rest):
                self._shown, self._rest, self._covered = b"", state, 0

    def _cut_long(self, lines: list[tuple[str, int]]) -> None:
        # Only what is masked is cut: a secret that begins before the cut is there as a whole.
        while len(self._shown) + len(self._rest) >= self._longest + max(self._masker.longest, 1):
            self._mask_settled()
            if len(self._shown) <= self._longest:
                return
            piece, self._shown = _cut(self._shown, self._longest)
            lines.append((_decode(piece), len(piece)))

    def _mask_settled(self) -> None:
        """Mask what no later byte can make part of a secret; leave what may begin one."""
        body = self._rest.rstrip(b"\r")  # they may overwrite the line, or end it
        masked, left, self._covered = self._masker.settle(body, self._covered)
        self._shown += masked
        self._rest = left + self._rest[len(body) :]


def _last_state(line: bytes, *, keep_end: bool = False) -> bytes:
    """What a terminal would show last; `keep_end` keeps a final CR, half of a CR LF perhaps."""
    if b"\r" not in line:
        return line
    shown = line.rstrip(b"\r")
    begin = shown.rfind(b"\r") + 1
    return line[begin:] if keep_end else shown[begin:]


def _cut(line: bytes, longest: int) -> tuple[bytes, bytes]:
    """Two parts, the first of `longest` bytes or up to 3 less, so as not to cut a character."""
    end = longest
    while end > max(longest - 3, 1) and line[end] & 0xC0 == 0x80:
        end -= 1
    return line[:end], line[end:]


def _decode(line: bytes) -> str:
    return line.decode("utf-8", "replace")
