"""A scenario: a promise, the setting it needs, and the faults that could break it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.evidence import Evidence


def rules_alone(_: Evidence) -> Iterable[str]:
    """Nothing is asked for beyond the rules I1 to I7."""
    return ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """`play` does the faults; the arena has been started, and is settled and judged afterwards.

    `seconds` is how long one round goes on in a full run, `rounds` how many there are. One that
    is safe may be played on a user's store: it harms its own daemons only.
    """

    name: str
    promise: str  # what must hold, in a sentence for the report
    play: Callable[[Arena], None]
    setting: Callable[[], Setting] = Setting
    seconds: float = 10.0
    rounds: int = 1
    is_safe: bool = True
    starts_by_itself: bool = False  # `play` starts the arena
    bounds: Mapping[str, float] = field(default_factory=dict)  # of figures, seconds
    judge: Callable[[Evidence], Iterable[str]] = rules_alone  # what else was broken
