"""Pieces of a cron expression that know their place in it, to point at what is wrong."""

import re
import unicodedata
from dataclasses import dataclass

from jobrunner.crons.errors import InvalidCron

BLANKS = " \t\n\r\f\v"


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
    """The fields of an expression; only ASCII white space separates them, as in cron.

    Raises InvalidCron for a character that nobody sees, or sees as a blank.
    """
    unseen = next((place for place, char in enumerate(expression) if _is_unseen(char)), None)
    if unseen is not None:
        raise _refuse_unseen(expression, unseen)
    shown = re.sub(r"\s", " ", expression, flags=re.ASCII)  # a tab would move the carets
    return [Token(shown, match.start(), match.group()) for match in re.finditer("[^ ]+", shown)]


def _is_unseen(character: str) -> bool:
    if character in BLANKS or "!" <= character <= "~":
        return False
    # Blanks, controls, marks of direction and width; letters and signs are told as what they are.
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf", "Zs")


def _refuse_unseen(expression: str, place: int) -> InvalidCron:
    character = expression[place]
    name = unicodedata.name(character, "a control character")
    visible = "".join("·" if _is_unseen(char) else char for char in expression)
    return Token(visible, place, "·").refusal(
        f"the character U+{ord(character):04X} ({name})",
        why="only a space or a tab separates fields, and this one only looks like it, or is unseen",
        fix="type the blank anew, shown as · here",
    )
