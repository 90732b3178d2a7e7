"""What a command knows of its surroundings; tests replace any part of it."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from jobrunner.clock import Clock, SystemClock

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPE_WIDTH = 200  # columns: a table in a pipe is read by programs, nothing is cut short


@dataclass(slots=True)
class CliContext:
    """Streams, clock and environment of one run of the CLI, and its common options."""

    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Clock = field(default_factory=SystemClock)
    zone: tzinfo | None = None  # of the instants people read; None: the system's
    file: Path | None = None  # --file
    json: bool = False  # --json
    debug: bool = False  # --debug

    def write(self, text: str) -> None:
        """One line, or several, to stdout."""
        self.stdout.write(text + "\n")

    def note(self, text: str) -> None:
        """A message for a person, to stderr."""
        self.stderr.write(text + "\n")

    def write_json(self, value: Any) -> None:
        """The value as JSON: indented on a terminal, one line in a pipe."""
        indent = 2 if self.stdout.isatty() else None
        self.write(json.dumps(value, ensure_ascii=False, indent=indent))

    def print(self, renderable: "RenderableType") -> None:
        """A table or text of `render_…` to stdout."""
        self.console().print(renderable)

    def console(self) -> "Console":
        """A console on stdout that keeps NO_COLOR and, in a pipe, neither colours nor cuts."""
        from rich.console import Console

        return Console(
            file=self.stdout,
            width=None if self.stdout.isatty() else self._pipe_width(),
            no_color=not self.has_colours(self.stdout),
            markup=False,
            emoji=False,
            highlight=False,
            _environ=self.environ,
        )

    def has_colours(self, stream: TextIO) -> bool:
        """Whether colours are wanted there: a terminal, and no NO_COLOR (no-color.org)."""
        return stream.isatty() and not self.environ.get("NO_COLOR")

    def _pipe_width(self) -> int:
        columns = self.environ.get("COLUMNS", "")
        return int(columns) if columns.isdecimal() and int(columns) > 0 else PIPE_WIDTH
