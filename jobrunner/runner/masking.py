"""Secret values become `***`, wherever they stand. Pure.

Masked are the value itself and how JSON (also within a JSON text), Python, URLs and bash write it;
of a value of several lines, each line. Text that a secret was made into (base64, a hash, its parts)
is another text.
"""

import json
import re
from collections.abc import Iterable
from math import ceil
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from jobrunner.errors import MASK

SHORTEST_SECRET = 3  # characters; masking a shorter one would blot out the output and hide nothing
LONGEST_OF_ALL_FORMS = 4096  # characters of a line; looking for dozens of longer ones takes seconds
_MASK = MASK.encode()
# Of a secret that the end of all output cuts: less of it tells little, and may be any word.
TELLING_SHARE = 0.5
_ESCAPE = re.compile(r"\\u[0-9a-f]{4}")
_PERCENT = re.compile("%[0-9A-F]{2}")
# Of bash between $' and '.
_C_ESCAPES = {chr(code): f"\\{code:03o}" for code in (*range(32), 127)}
_C_ESCAPES |= dict(zip("\a\b\t\n\v\f\r\x1b'\\", map("\\".__add__, "abtnvfrE'\\"), strict=True))


class Masker:
    """Replaces secret values."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        parts = {part for secret in secrets for part in _lines_of(secret)}
        forms = {form for part in parts for form in _forms(part)}
        self._forms = sorted(forms)
        self.longest = max(map(len, forms), default=0)  # bytes

    def mask(self, text: str) -> str:
        """The text with `***` for each secret."""
        if not self._forms:
            return text
        data = text.encode("utf-8", "surrogatepass")
        return self.mask_bytes(data).decode("utf-8", "surrogatepass")

    def mask_bytes(self, data: bytes, covered: int = 0, *, is_cut: bool = False) -> bytes:
        """The same for text in UTF-8. The first `covered` bytes are left out: their mask is there.

        `is_cut` says that the text ends somewhere, perhaps within a secret.
        """
        if not self._forms:
            return data
        spans = self._found(data, covered)
        if is_cut and (begin := self._unfinished(data, TELLING_SHARE)) < len(data):
            spans = [span for span in spans if span[0] < begin]
            _add(spans, begin, len(data))
        return _masked(data, spans, covered)

    def mask_name(self, name: str, most: int) -> str:
        """The same for a name of which no more than so many bytes are kept.

        Where it has as many, it may be cut within a secret, of which even the begin is left out.
        """
        data = name.encode("utf-8", "surrogatepass")
        begin = len(data)
        if len(data) >= most:
            data = name.rstrip("\ufffd").encode("utf-8", "surrogatepass")  # cut in a character
            begin = self._unfinished(data)
        is_secret = len(data) - begin >= SHORTEST_SECRET
        if not is_secret:
            return self.mask(name)
        return f"{self.mask_bytes(data[:begin]).decode('utf-8', 'surrogatepass')}{MASK}"

    def settle(self, data: bytes, covered: int = 0) -> tuple[bytes, bytes, int]:
        """What of the text is final, masked; the rest, as it is; and how much of that is covered.

        The rest is what more bytes may make a secret. It may begin within another secret, whose
        mask is in the first part.
        """
        if not self._forms:
            return data, b"", 0
        end = self._unfinished(data)
        spans = [span for span in self._found(data, covered) if span[0] < end]
        masked_to = spans[-1][1] if spans else covered
        return _masked(data[:end], spans, covered), data[end:], max(masked_to - end, 0)

    def mask_json(self, text: bytes) -> bytes:
        """A JSON value without secrets in its texts, keys and numbers."""
        if not self._forms:
            return text
        try:
            return msgspec.json.encode(self._value(msgspec.json.decode(text)))
        except (msgspec.DecodeError, ValueError, RecursionError):
            return msgspec.json.encode(MASK)  # too deep to be looked through

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, dict):
            return {self.mask(key): self._value(item) for key, item in value.items()}
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            written = msgspec.json.encode(value)
            return value if self.mask_bytes(written) == written else MASK
        return value

    def _found(self, data: bytes, covered: int) -> list[tuple[int, int]]:
        """Where secrets stand, in order; those that overlap count as one."""
        found = [(0, covered)] if covered else []
        # Each by itself: for dozens of them (the lines of a key), an expression with all of them
        # looks five times as long. From the next byte on: a secret may overlap itself.
        for form in self._forms:
            at = data.find(form)
            while at >= 0:
                found.append((at, at + len(form)))
                at = data.find(form, at + 1)
        spans: list[tuple[int, int]] = []
        for begin, end in sorted(found):
            _add(spans, begin, end)
        return spans

    def _unfinished(self, data: bytes, share: float = 0.0) -> int:
        """Where a secret may begin of which the end is missing; else the length of the data.

        With `share`, only if at least so much of the secret is there.
        """
        first = len(data)
        whole = memoryview(data)
        for form in self._forms:
            at = max(len(data) - len(form) + 1, 0)
            least = max(ceil(len(form) * share), 1)
            last = min(first, max(len(data) - least + 1, 0))
            while (at := data.find(form[:1], at, last)) >= 0:
                if memoryview(form)[: len(data) - at] == whole[at:]:
                    first = at
                    break
                at += 1
        return first


NO_SECRETS = Masker()


def _add(spans: list[tuple[int, int]], begin: int, end: int) -> None:
    """One more span, which begins no earlier than the last one."""
    if spans and begin < spans[-1][1]:
        spans[-1] = (min(begin, spans[-1][0]), max(end, spans[-1][1]))
    else:
        spans.append((begin, end))


def _masked(data: bytes, spans: list[tuple[int, int]], covered: int) -> bytes:
    parts, at = [], 0
    for begin, end in spans:
        parts.append(data[at:begin])
        if begin or not covered:
            parts.append(_MASK)
        at = end
    return b"".join([*parts, data[at:]])


def _lines_of(secret: str) -> Iterable[str]:
    """A secret of several lines (a private key) never stands in one line: each is masked."""
    lines = (line.strip() for line in secret.splitlines())
    return (line for line in lines if len(line) >= SHORTEST_SECRET)


def _forms(text: str) -> Iterable[bytes]:
    """How a value is written: as it is, and as it stands in JSON, Python, a URL and in bash."""
    raw = _bytes_of(text)
    if text.isascii() and text.isalnum():
        return {raw}  # nothing of it is ever written otherwise
    written = {text, *_usual(text), *_in_urls(raw)}
    if len(text) <= LONGEST_OF_ALL_FORMS:
        written |= {*_in_json(text), *_in_python(text, raw), *_in_bash(text, raw)}
    # A variable may hold bytes that are no UTF-8; messages write them otherwise than pipes.
    ways = ("surrogatepass", "backslashreplace")
    return {raw, *(form.encode("utf-8", way) for form in written for way in ways)}


def _usual(text: str) -> Iterable[str]:
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]


def _in_json(text: str) -> Iterable[str]:
    """JSON, and JSON in a text of JSON; with each escape that writers are free to choose."""
    once = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    once |= {form.replace("/", "\\/") for form in once}
    for_pages = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "<>&"})
    once |= {form.translate(for_pages) for form in once}
    once |= {_ESCAPE.sub(lambda found: found[0].upper().replace("U", "u", 1), f) for f in once}
    within = {json.dumps(f, ensure_ascii=a)[1:-1] for f in once for a in (True, False)}
    in_python = {form.replace("\\", "\\\\") for form in once}  # `repr` of a text of JSON
    return once | within | in_python | {form.replace("'", "\\'") for form in in_python}


def _in_python(text: str, raw: bytes) -> Iterable[str]:
    """`repr` and `ascii` of the text and its bytes, also where `'` has to be escaped around it."""
    texts = {text, repr(text)[1:-1]}  # the second: within a text that is written itself
    plain = {write(each)[1:-1] for each in texts for write in (repr, ascii)}
    escaped = {write("'\"" + each)[4:-1] for each in texts for write in (repr, ascii)}
    return plain | escaped | {repr(raw)[2:-1], repr(b"'\"" + raw)[5:-1]}


def _in_urls(raw: bytes) -> Iterable[str]:
    upper = {quote(raw), quote(raw, safe=""), quote_plus(raw)}
    return upper | {_PERCENT.sub(lambda found: found[0].lower(), form) for form in upper}


def _in_bash(text: str, raw: bytes) -> Iterable[str]:
    """Between quotes of each kind, as `set -x`, `declare -p` and `printf %q` have them."""
    yield text.replace("'", "'\\''")
    yield text.replace("'", "'\"'\"'")  # of Python's shlex
    yield re.sub(r'(["$`\\])', r"\\\1", text)
    yield re.sub(r"([^\w@%+=:,./\-])", r"\\\1", text)
    for_c = "".join(_C_ESCAPES.get(mark, mark) for mark in text)
    yield for_c
    # Where the locale has no such characters.
    yield "".join(_C_ESCAPES.get(chr(b), chr(b) if b < 127 else f"\\{b:03o}") for b in raw)


def _bytes_of(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
