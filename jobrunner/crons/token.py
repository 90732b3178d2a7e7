"""Pieces of a cron expression that know their place in it, to point at what is wrong."""

import re
from dataclasses import dataclass

from jobrunner.crons.errors import InvalidCron


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is what stands at offset `start` of `expression`."""

    expression: str
    start: int
    text: str

    def split(self, separator: str) -> list["Token"]:
        """The parts between separators, each at its own place."""
        tokens, start = [], self.start
        for part in self.text.split(separator):
            tokens.append(Token(self.expression, start, part))
            start += len(part) + len(separator)
        return tokens

    def refusal(self, what: str, *, why: str, fix: str) -> InvalidCron:
        """The error that puts carets under this token."""
        carets = " " * self.start + "^" * max(1, len(self.text))
        return InvalidCron(
            f"{what} in cron expression '{self.expression}'",
            why=why,
            fix=fix,
            excerpt=f"{self.expression}\n{carets}",
        )


def tokens(expression: str) -> list[Token]:
    """The fields of an expression; only ASCII white space separates them, as in cron."""
    shown = re.sub(r"\s", " ", expression, flags=re.ASCII)  # a tab would move the carets
    return [Token(shown, match.start(), match.group()) for match in re.finditer("[^ ]+", shown)]
