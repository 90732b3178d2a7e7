"""What a command knows of its surroundings; tests replace any part of it."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from jobrunner.cli.foreign import escaped, json_text
from jobrunner.clock import Clock, SystemClock
from jobrunner.errors import JobrunnerError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from jobrunner.cli.store import OpenStore
    from jobrunner.locate import Chosen, Located, Use
    from jobrunner.store.address import StoreAddress
    from jobrunner.store.patience import Patience

PIPE_WIDTH = 10_000  # cells: in a pipe nothing is cut, and no table is wider than its contents


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
    is_trusted: bool = False  # --trust
    has_acted: bool = False  # what it does stands, even if nobody can read what it says
    _store: "OpenStore | None" = None

    def write(self, text: str) -> None:
        """One line, or several, to stdout. What others wrote in it does the terminal no harm."""
        self.stdout.write(escaped(text) + "\n")

    def write_styled(self, text: str) -> None:
        """The same with colours; who made the text has escaped what others wrote in it."""
        self.stdout.write(text + "\n")

    def note(self, text: str) -> None:
        """A message for a person, to stderr; as harmless."""
        self.stderr.write(escaped(text) + "\n")

    def note_styled(self, text: str) -> None:
        """The same with colours; who made the text has escaped what others wrote in it."""
        self.stderr.write(text + "\n")

    def note_error(self, error: JobrunnerError) -> None:
        """The error for a person, to stderr, in colours where they are wanted."""
        from jobrunner.cli.render import error_text

        self.note_styled(error_text(error, self.has_colours(self.stderr)))

    def write_json(self, value: Any) -> None:
        """The value as JSON: indented on a terminal, one line in a pipe."""
        self.write(json_text(value, indent=2 if self.stdout.isatty() else None))

    def print(self, render: "Callable[[int], RenderableType]") -> None:
        """To stdout, what `render` makes of the width there is, in cells."""
        from jobrunner.cli.harmless import Harmless

        console = self.console()
        shown = Harmless(render(console.width))
        if self.stdout.isatty():
            console.print(shown)
            return
        with console.capture() as captured:
            console.print(shown)
        # rich fills lines up to the width of the table; who reads the pipe wants none of that.
        self.stdout.write("\n".join(line.rstrip() for line in captured.get().split("\n")))

    def confirm(self, question: str) -> bool:
        """Ask on a terminal; y means yes. Without a terminal nobody can answer: no."""
        if not self.stdin.isatty():
            return False
        self.stderr.write(f"{escaped(question)} [y/N] ")
        self.stderr.flush()
        return self.stdin.readline().strip().lower() in ("y", "yes")

    def console(self) -> "Console":
        """A console on stdout that keeps NO_COLOR and, in a pipe, neither colours nor cuts."""
        from rich.console import Console

        return Console(
            file=self.stdout,
            width=None if self.stdout.isatty() else PIPE_WIDTH,
            no_color=not self.has_colours(self.stdout),
            markup=False,
            emoji=False,
            highlight=False,
            _environ=self.environ,
        )

    def has_colours(self, stream: TextIO) -> bool:
        """Whether colours are wanted there: a terminal, and no NO_COLOR (no-color.org)."""
        return stream.isatty() and not self.environ.get("NO_COLOR")

    def manifest_path(self) -> Path:
        """The manifest meant by --file, $JOBRUNNER_FILE or the usual places."""
        from jobrunner.locate import find_manifest

        return find_manifest(self.file, self.environ)

    def manifest(self, use: "Use | None" = None) -> "Chosen":
        """The same manifest, and who may write what is read for it."""
        from jobrunner.locate import Use, choose_manifest

        return choose_manifest(
            self.file, self.environ, is_trusted=self.is_trusted, use=use or Use.LOOK
        )

    def located(self, use: "Use | None" = None) -> "Located":
        """The manifest's namespace, state folder and store."""
        from jobrunner.locate import Use, find_store

        return find_store(self.file, self.environ, is_trusted=self.is_trusted, use=use or Use.LOOK)

    def store(self, timeout: float | None = None, use: "Use | None" = None) -> "OpenStore":
        """The manifest's store; nothing is connected before its first use.

        `timeout` for connecting and for each reply, seconds; the first use decides. Without it the
        command has patience, and tells what it waits for.
        """
        from jobrunner.cli.store import OpenStore
        from jobrunner.locate import Use
        from jobrunner.store.damage import told

        if self._store is None:
            address = self.located(use).address
            patience = None if timeout else self.patience_with(address)
            self._store = OpenStore(address, timeout, patience)
            if use is not Use.COMPLETE:  # at TAB nothing but names may be written
                told.hear(self._note_damage)
        return self._store

    def patience_with(self, address: "StoreAddress") -> "Patience":
        """How long this command waits for a store that does not answer; longer if its URL says so.

        Raises UsageError for a URL that cannot be used.
        """
        from jobrunner.store.address import TIMEOUT_S
        from jobrunner.store.patience import GIVE_UP_AFTER_S, Patience

        def tell() -> None:
            self.note(f"waiting for the store at {address}, which does not answer")
            self.stderr.flush()

        timeout = address.endpoint().timeout
        return Patience(tell, timeout if timeout > TIMEOUT_S else GIVE_UP_AFTER_S)

    def close(self) -> None:
        """Close what was opened."""
        if self._store is not None:
            from jobrunner.store.damage import told

            self._store.close()
            told.hear(None)

    def _note_damage(self, key: str) -> None:
        """What is read is not all there is: nobody may take that for nothing."""
        self.note(
            f"warning: the key '{key}' is damaged: something else has written it, so what it tells "
            "is missing here\n  fix: `jobrunner doctor --repair` mends it"
        )
