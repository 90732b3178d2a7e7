"""The last gate of what rich draws: no text in it reaches the terminal unescaped.

Tables and cards escape their cells, since these must be measured as they are shown; whatever else
is drawn, now or by a later hand, is caught here. rich's own colours and moves are no text. Apart
from `foreign`, which commands use that do not load rich.
"""

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

from jobrunner.cli.foreign import escaped


@dataclass(frozen=True, slots=True)
class Harmless:
    """Anything that rich can draw, with its text escaped."""

    inner: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options):
            if segment.control:
                yield segment
            else:
                yield Segment(escaped(segment.text), segment.style)
