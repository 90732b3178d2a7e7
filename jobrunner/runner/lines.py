"""Bytes of a stream become lines: split, masked, freed of progress bars, cut if too long. Pure."""

import re
from collections.abc import Iterable

SHORTEST_SECRET = 3  # characters; masking a shorter one would blot out the output and hide nothing
MASK = "***"


class Masker:
    """Replaces secret values, wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # A secret of several lines (a private key) never stands in one line: mask each of them.
        parts = {line.strip() for secret in secrets for line in secret.splitlines()}
        parts = {part for part in parts if len(part) >= SHORTEST_SECRET}
        self.longest = max((len(part.encode()) for part in parts), default=0)  # bytes
        # The longest first: a secret that begins with another one must not leave its rest.
        pattern = "|".join(re.escape(part) for part in sorted(parts, key=len, reverse=True))
        self._text = re.compile(pattern) if parts else None
        self._bytes = re.compile(pattern.encode()) if parts else None

    def mask(self, text: str) -> str:
        """The text with `***` for each secret."""
        return self._text.sub(MASK, text) if self._text else text

    def mask_bytes(self, data: bytes) -> bytes:
        """The same for text in UTF-8."""
        return self._bytes.sub(MASK.encode(), data) if self._bytes else data


NO_SECRETS = Masker()


class LineSplitter:
    """Lines of one stream, each with the number of bytes it had.

    Of a line with carriage returns (a progress bar) the last state is kept. A line longer than
    `longest` bytes becomes several. What is not UTF-8 is replaced by U+FFFD.
    """

    def __init__(self, longest: int, masker: Masker) -> None:
        self._longest = longest
        self._masker = masker
        self._rest = b""
        self._overwritten = 0  # bytes of the unfinished line that a carriage return has hidden

    def feed(self, data: bytes) -> list[tuple[str, int]]:
        """The lines that `data` completes."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        lines: list[tuple[str, int]] = []
        for line in whole:
            self._finish(line, 1, lines)
        self._hide_overwritten()
        self._cut_long(lines)
        return lines

    def flush(self) -> list[tuple[str, int]]:
        """The last line, when no line end followed it."""
        lines: list[tuple[str, int]] = []
        if self._rest:
            self._finish(self._rest, 0, lines)
            self._rest = b""
        return lines

    def _finish(self, line: bytes, line_end: int, lines: list[tuple[str, int]]) -> None:
        size = len(line) + line_end + self._overwritten
        self._overwritten = 0
        line = self._masker.mask_bytes(_last_state(line))
        while len(line) > self._longest:
            piece, line = _cut(line, self._longest)
            lines.append((_decode(piece), len(piece)))
            size -= len(piece)
        lines.append((_decode(line), max(size, 0)))

    def _hide_overwritten(self) -> None:
        if b"\r" in self._rest:
            state = _last_state(self._rest, keep_end=True)
            self._overwritten += len(self._rest) - len(state)
            self._rest = state

    def _cut_long(self, lines: list[tuple[str, int]]) -> None:
        # Only once a secret that begins before the cut must be there as a whole, and is masked.
        while len(self._rest) >= self._longest + max(self._masker.longest, 1):
            masked = self._masker.mask_bytes(self._rest)
            if len(masked) <= self._longest:
                self._overwritten += len(self._rest) - len(masked)
                self._rest = masked
                return
            piece, self._rest = _cut(masked, self._longest)
            lines.append((_decode(piece), len(piece)))


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
