"""Regular expressions that anybody's text may meet: `matches(pattern, text)` takes linear time.

Python's `re` tries one way after another. A pattern such as `(a+)+$` has a text of 30 characters
for which that takes hours, and holds the interpreter's lock meanwhile. Patterns are the manifest's,
but texts come from whoever submits a job, or from a job's output. So the pattern becomes a
machine that reads each character once (`syntax`, `automaton`), and says yes and no where `re` does.
What no such machine can do is refused before it is used, by `fault`: looking ahead or behind,
references to groups, atomic and possessive parts, and patterns of more than some thousand steps.

The parsed form of a pattern is Python's own, so all of its syntax means here what it means there.
"""

import re
import warnings
from functools import lru_cache
from threading import get_ident

from jobrunner.patterns.automaton import MOST_WORK, Automaton, TooMuchWork
from jobrunner.patterns.syntax import NotLinear, steps_of

__all__ = ["MOST_WORK", "fault", "matches"]


def matches(pattern: str, text: str, *, anywhere: bool = False) -> bool:
    """Whether the whole text matches, or with `anywhere` some part of it; in linear time.

    Raises ValueError for a pattern that `fault` refuses, and for a text so long that to check it
    would hold up others, which depends on nothing but the two; goes on after "the text".
    """
    try:
        automaton = _automaton(pattern, anywhere, get_ident())
    except (re.error, NotLinear, OverflowError, RecursionError) as error:
        raise ValueError(f"cannot be checked: the pattern {error}") from error
    try:
        return automaton.accepts(text)
    except TooMuchWork:
        raise ValueError(
            f"of {len(text):,} characters is too long for its pattern {pattern!r}"
        ) from None


def fault(pattern: str) -> str | None:
    """Why a pattern cannot be used; None when it can."""
    try:
        _automaton(pattern, False, get_ident())
    except NotLinear as error:
        return f"it {error}"
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None


@lru_cache(maxsize=256)
def _automaton(pattern: str, anywhere: bool, _thread: int) -> Automaton:
    """One for each thread: what an automaton remembers is not for two at a time."""
    with warnings.catch_warnings():
        # What a later Python may read otherwise is no fault of today's.
        warnings.simplefilter("ignore")
        return Automaton(steps_of(pattern, anywhere=anywhere))
