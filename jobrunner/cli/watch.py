"""`jobrunner status --watch`: the status screen, drawn anew every second until q or Ctrl-C."""

import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from jobrunner.cli.context import CliContext
from jobrunner.cli.harmless import Harmless
from jobrunner.cli.render import error_text
from jobrunner.cli.render_status import status_screen
from jobrunner.errors import StoreUnavailable
from jobrunner.store.overview import read_overview

REFRESH_S = 1.0
ANSWER_S = 2.0  # of the store: the screen tells when it takes longer, and keys must be answered
QUIT_KEYS = "qQ\x1b\x03"  # also Escape, and Ctrl-C where the terminal sends it as a key


def watch_status(cli: CliContext) -> None:
    """Refresh until a key of QUIT_KEYS, the end of input or Ctrl-C."""
    console = cli.console()
    with (
        _keys_at_once(cli.stdin),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            live.update(Harmless(_frame(cli, console)), refresh=True)
            if _quit_was_pressed(cli.stdin):
                return


def _frame(cli: CliContext, console: Console) -> RenderableType:
    store = cli.store(ANSWER_S)
    try:
        overview = store.run(read_overview(store.keys))
    except StoreUnavailable as error:
        # It may come back, and the screen on the wall shall then go on by itself.
        return Group(Text(error_text(error)), Text("trying again every second; q ends"))
    return status_screen(overview, console.width, cli.zone, console.height - 1)


def _quit_was_pressed(stdin: TextIO) -> bool:
    """Wait for the next refresh, or a key."""
    readable, _, _ = select.select([stdin], [], [], REFRESH_S)
    if not readable:
        return False
    key = stdin.read(1)
    return key == "" or key in QUIT_KEYS


@contextmanager
def _keys_at_once(stdin: TextIO) -> Iterator[None]:
    """Keys come without Enter and are not echoed; the terminal is left as it was found."""
    if not stdin.isatty():
        yield
        return
    before = termios.tcgetattr(stdin)
    tty.setcbreak(stdin)
    try:
        yield
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
