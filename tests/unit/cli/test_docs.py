"""What `docs/crons.md` shows of `jobrunner next` is what it prints."""

import re
import shlex
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke

CRONS = Path(__file__).parents[3] / "docs" / "crons.md"
COMMANDS = re.findall(r"^\$ jobrunner (next .+)\n((?:(?!\$ |```).*\n)+)", CRONS.read_text(), re.M)


@pytest.mark.parametrize(("command", "shown"), COMMANDS)
def test_the_examples_show_what_is_printed(invoke: Invoke, command: str, shown: str) -> None:
    outcome = invoke(*shlex.split(command))

    assert outcome.stdout + outcome.stderr == shown


def test_there_are_examples() -> None:
    assert len(COMMANDS) == 6
