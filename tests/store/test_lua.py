"""The scripts' files: one per caller, with a header that is the contract."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.model import Priority
from jobrunner.store import scripts
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command
from jobrunner.store.scripts import lua_script
from tests.store.factories import Store

PACKAGE = Path(scripts.__file__).parent
LUA = PACKAGE / "lua"
FILES = sorted(LUA.glob("*.lua"))
INCLUDES = sorted((LUA / "include").glob("*.lua"))
# Commands and options that Redis 7.2 does not have, and those that read a whole database.
FORBIDDEN = r"\b(KEYS|SCAN|SSCAN|HSCAN|ZSCAN|XACKDEL|XDELEX|HEXPIRE|HSETEX|HGETEX|HGETDEL|MSETEX)\b"

AUDITS_SCANS = (("keyspace.py", "SCAN"), ("audit_members.py", "SSCAN"))


def header(path: Path) -> str:
    lines = path.read_text().splitlines()
    return "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("--"))])


def called_names() -> set[str]:
    """The first argument of every `Script(…)` in the store's modules."""
    return {
        argument.value
        for path in PACKAGE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Script"
        and isinstance(argument := node.args[0], ast.Constant)
        and isinstance(argument.value, str)
    }


def commands_in_python() -> Iterator[tuple[Path, str]]:
    """Every name of a command in the store's modules: an upper-case text that stands alone."""
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path, node.value


def test_every_script_has_a_caller_and_every_caller_a_script() -> None:
    assert called_names() == {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_header_says_what_it_takes_and_returns(path: Path) -> None:
    lines = header(path).splitlines()

    assert re.match(r"-- [A-Z].+\.$", lines[0])
    for part in ("KEYS", "ARGV", "Returns"):
        assert any(line.startswith(f"-- {part}") for line in lines), part


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_include_exists_and_is_used(path: Path) -> None:
    named = [line for line in header(path).splitlines() if line.startswith("-- include:")]
    names = [name for line in named for name in line.removeprefix("-- include:").split()]

    body = path.read_text()
    for name in names:
        text = (LUA / "include" / f"{name}.lua").read_text()
        defined = re.findall(r"^local (?:function )?(\w+)", text, re.MULTILINE)
        assert any(re.search(rf"\b{word}\b", body) for word in defined), f"{name} is not used"


@pytest.mark.parametrize("path", [*FILES, *INCLUDES], ids=lambda path: path.stem)
def test_scripts_use_no_command_that_is_too_new_or_reads_everything(path: Path) -> None:
    commands = re.findall(r"redis\.p?call\('(\w+)'", path.read_text())

    assert [name for name in commands if re.fullmatch(FORBIDDEN, name)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_keys_reach_a_script_through_keys_only(path: Path) -> None:
    assert "jr:" not in path.read_text()


def test_no_module_uses_a_command_that_is_too_new_or_reads_everything() -> None:
    used = [
        (path.name, text) for path, text in commands_in_python() if re.fullmatch(FORBIDDEN, text)
    ]
    # What no index names, only an audit looks for, page by page.
    used = [place for place in used if place not in AUDITS_SCANS]

    assert used == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_script_is_accepted_by_the_server(store: Store, path: Path) -> None:
    script = lua_script(path.stem)

    assert store.command("SCRIPT", "LOAD", script.text) == script.sha.encode()


def test_a_script_the_server_forgot_is_loaded_again(store: Store) -> None:
    store.submit()
    store.connection.execute(Command(("SCRIPT", "FLUSH")))

    store.submit()

    assert len(store.entries()) == 2


def test_every_key_carries_the_namespaces_hash_tag() -> None:
    keys = Keys("shop")
    samples = {"job_id": "x", "queue": "q", "priority": Priority.LOW, "state": "failed"}
    made = []
    for name, method in vars(Keys).items():
        if name.startswith("_") or not callable(method):
            continue
        parameters = method.__code__.co_varnames[1 : method.__code__.co_argcount]
        made.append(method(keys, *(samples.get(parameter, "x") for parameter in parameters)))

    assert len(made) > 25
    assert [key for key in made if not key.startswith("jr:{shop}:")] == []
    assert len(set(made)) == len(made)


def test_the_keys_of_two_things_never_meet() -> None:
    keys = Keys("shop")

    assert keys.lock("report:waiting") != keys.lock_waiting("report")
    assert keys.cron("reboot:boots") != keys.cron_boots("reboot")


def test_numbers_are_written_without_an_exponent(store: Store) -> None:
    # What the scripts rely on: a round instant is not written as 1.79e+12.
    text = (
        "redis.call('HSET', KEYS[1], 'at', tonumber('1790000000000'), 'n', 1e15) "
        "redis.call('ZADD', KEYS[2], 1790000000000, 'x') "
        "return {redis.call('HGET', KEYS[1], 'at'), redis.call('HGET', KEYS[1], 'n'), "
        "redis.call('ZSCORE', KEYS[2], 'x')}"
    )
    reply = store.command("EVAL", text, 2, store.keys.manifest(), store.keys.running())
    store.command("DEL", store.keys.manifest(), store.keys.running())

    assert reply == [b"1790000000000", b"1000000000000000", b"1790000000000"]


def test_a_full_server_lets_all_scripts_through_but_those_that_make_jobs_or_only_read() -> None:
    refused = {path.stem for path in FILES if "-- flags: allow-oom" not in header(path)}

    assert refused == {"fire", "place", "retry", "submit", "unrenewed"}
