"""The daemon's plan: what a manifest file and its modules come to, or all that is wrong."""

import os
from pathlib import Path
from threading import Event

import pytest

from jobrunner.daemon.plan import Plan, make_plan, make_plan_aside, published, raise_if_moved
from jobrunner.errors import ManifestError
from jobrunner.manifest.parts import Store
from jobrunner.manifest.spec import Manifest
from jobrunner.manifest.trust import Guard
from jobrunner.model import Priority

MODULE = '''
from jobrunner import cron, task

@task(queue="web", lock_ttl=120)
async def resize(path: str, width: int = 200) -> str:
    """Make a picture smaller."""
    return path

@cron("*/5 * * * *", timezone="Europe/Berlin")
def cleanup() -> None:
    pass
'''
NIGHTLY = """\
name: shop
tasks:
  backup: {command: [pg_dump, shop], description: Dump the database, env: {TOKEN: s3cret}}
crons:
  nightly: {task: backup, cron: "0 2 * * *", timezone: Europe/Berlin}
  often: {task: backup, every: 90s, enabled: false}
"""


def plan_of(folder: Path, text: str, module: str | None = None) -> Plan:
    (folder / "jobs.yaml").write_text(text)
    if module is not None:
        (folder / "shop_jobs.py").write_text(module)
    return make_plan(folder / "jobs.yaml", {})


def problems_of(folder: Path, text: str, module: str | None = None) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        plan_of(folder, text, module)
    return [f"{p.where.line if p.where else '-'}: {p.what}" for p in caught.value.problems]


def test_crons_are_parsed_with_their_zone_and_task(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, NIGHTLY)

    nightly, often = plan.crons
    assert (nightly.name, nightly.cron.expression, nightly.cron.timezone) == (
        "nightly",
        "0 2 * * *",
        "Europe/Berlin",
    )
    assert nightly.task == plan.manifest.tasks["backup"]
    assert often.cron.interval is not None


def test_functions_of_the_imported_modules_are_taken_up(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "imports: [shop_jobs]\n", MODULE)

    tasks = plan.manifest.tasks
    assert (tasks["resize"].queue, tasks["resize"].python) == ("web", "shop_jobs:resize")
    assert list(tasks["resize"].params) == ["path", "width"]
    assert (plan.manifest.is_async("resize"), plan.manifest.is_async("cleanup")) == (True, False)
    assert [(item.name, item.cron.timezone) for item in plan.crons] == [
        ("cleanup", "Europe/Berlin")
    ]


def test_all_bad_crons_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
tasks: {backup: {command: "true"}}
crons:
  one: {task: backup, cron: "61 * * * *"}
  two: {task: backup, cron: "0 2 * * *"}
  three: {task: backup, cron: "0 0 30 2 *"}
"""

    problems = problems_of(tmp_path, text)

    assert [problem.partition(":")[0] for problem in problems] == ["3", "5"]


def test_a_module_that_does_not_import_is_a_problem_in_that_module(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        plan_of(tmp_path, "name: shop\nimports: [shop_jobs]\n", "import nowhere_else")

    (problem,) = caught.value.problems
    assert problem.what == "module 'shop_jobs' cannot be imported"
    assert "nowhere_else" in (problem.why or "")
    assert str(problem.where) == f"{tmp_path / 'shop_jobs.py'}:1:1"


def test_adhoc_commands_are_a_task_of_their_own_where_they_are_allowed(tmp_path: Path) -> None:
    closed = plan_of(tmp_path, NIGHTLY)
    opened = plan_of(tmp_path, f"adhoc: true\ndefaults: {{queue: misc}}\n{NIGHTLY}")

    assert "exec" not in closed.manifest.tasks
    assert opened.manifest.tasks["exec"].kind is None
    assert opened.manifest.tasks["exec"].queue == "misc"


def test_a_task_with_the_name_of_adhoc_commands_is_a_problem(tmp_path: Path) -> None:
    text = 'adhoc: true\ntasks:\n  exec: {command: "true"}\n'

    (problem,) = problems_of(tmp_path, text)

    assert "'exec'" in problem


# What clients may know.


def test_tasks_and_crons_are_published_without_environment(tmp_path: Path) -> None:
    known = published(plan_of(tmp_path, NIGHTLY))

    backup = known.tasks["backup"]
    assert (backup.kind, backup.description, backup.priority) == (
        "command",
        "Dump the database",
        Priority.NORMAL,
    )
    nightly = known.crons["nightly"]
    assert (nightly.task, nightly.schedule, nightly.is_enabled) == ("backup", "0 2 * * *", True)
    assert nightly.description == "Dump the database"  # a cron without one has its task's
    assert not known.crons["often"].is_enabled
    assert "s3cret" not in repr(known)


def test_parameters_and_targets_of_functions_are_published(tmp_path: Path) -> None:
    known = published(plan_of(tmp_path, "imports: [shop_jobs]\n", MODULE))

    resize = known.tasks["resize"]
    assert [spec.name for spec in resize.params] == ["path", "width"]
    assert (resize.target, resize.lock) == ("shop_jobs:resize", "resize")


# Reloads.


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (Manifest(name="other"), "name has changed"),
        (Manifest(name="shop", store=Store(url="redis://localhost")), "store.url has changed"),
        (Manifest(name="shop", store=Store(server="/usr/bin/redis-server")), "store.server has"),
    ],
)
def test_a_reload_to_another_place_is_refused(changed: Manifest, what: str) -> None:
    with pytest.raises(ManifestError) as caught:
        raise_if_moved(Manifest(name="shop"), changed)

    (problem,) = caught.value.problems
    assert problem.what.startswith(what)
    assert problem.fix


def test_a_reload_may_change_all_else(tmp_path: Path) -> None:
    before = plan_of(tmp_path, NIGHTLY).manifest
    after = plan_of(tmp_path, "name: shop\nstore: {durability: always}\n").manifest

    raise_if_moved(before, after)


def test_expressions_are_told_beside_a_wrong_zone_and_other_problems(tmp_path: Path) -> None:
    text = """\
tasks: {x: {command: date, cron: "99 * * * *"}, y: {command: "a > b"}}
crons:
  a: {task: x, cron: "0 0 * * *", timezone: Europe/Berlim}
  b: {task: x, cron: "0 24 * * *"}
  c: {task: x, cron: "60 0 * * *", timezone: Nowhere}
  d: {task: x, every: 1500ms}
"""

    found = problems_of(tmp_path, text)

    assert [line.partition(":")[0] for line in found] == ["1", "1", "3", "4", "5", "5", "6"]
    assert "hour 24 is out of range" in found[3]
    assert "minute 60 is out of range" in found[4] + found[5]


def test_tz_that_has_no_say_is_told_with_the_crons_it_could_mean(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(NIGHTLY + '  early: {task: backup, cron: "0 5 * * *"}\n')

    plan = make_plan(tmp_path / "jobs.yaml", {"TZ": ":Asia/Tokyo"})

    (warning,) = plan.remarks.warnings
    assert warning.what == "TZ is 'Asia/Tokyo', and has no say: 1 cron is in UTC (early)"
    assert warning.fix == (
        "write `timezone: Asia/Tokyo` at the top of the manifest, or `timezone: UTC`"
    )


@pytest.mark.parametrize(
    ("top", "environ"),
    [("timezone: UTC\n", {"TZ": "Asia/Tokyo"}), ("", {"TZ": "UTC"}), ("", {"TZ": ""}), ("", {})],
)
def test_nothing_is_told_where_the_zone_is_meant(
    tmp_path: Path, top: str, environ: dict[str, str]
) -> None:
    text = top + NIGHTLY + '  early: {task: backup, cron: "0 5 * * *"}\n'
    (tmp_path / "jobs.yaml").write_text(text)

    assert make_plan(tmp_path / "jobs.yaml", environ).remarks.all() == []


def test_an_interval_of_days_is_told_at_its_place(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, NIGHTLY + "  weekly: {task: backup, every: 1w}\n")

    (note,) = plan.remarks.notes
    assert note.where is not None
    assert (note.where.line, note.what) == (7, "cron 'weekly' fires every 7 days")
    assert note.why is not None
    assert "weeks from a Thursday" in note.why


def test_clients_learn_which_values_a_program_could_misread(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "tasks:\n"
        '  rm: {command: [rm, "{file}"], params: {file: {}}}\n'
        '  safe: {command: [rm, --, "{file}"], params: {file: {}}}\n',
    )

    tasks = published(plan).tasks
    assert [tasks[name].params[0].refuses_dash for name in ("rm", "safe")] == [True, False]
    assert [tasks[name].params[0].copies for name in ("rm", "safe")] == [2, 2]


def test_an_interpreter_that_is_not_there_is_told_at_its_place(tmp_path: Path) -> None:
    text = """\
tasks:
  a: {shell: "true", interpreter: [no-such-shell, -c]}
  b: {shell: "true", interpreter: [no-such-shell, -c], env: {PATH: /opt/bin}}
  c: {shell: "true"}
"""
    (tmp_path / "jobs.yaml").write_text(text)

    plan = make_plan(tmp_path / "jobs.yaml", {"PATH": "/bin"})

    (warning,) = plan.remarks.warnings
    assert warning.where is not None
    assert (warning.where.line, warning.where.column) == (2, 22)
    assert warning.what == "the interpreter 'no-such-shell' of task 'a' is not found"


ENV_FILES = """\
env_file: all.env
defaults: {env_file: default.env}
tasks:
  a: {command: x, env_file: [a.env, later.env]}
  b: {command: x}
  c: {command: x, env_file: later.env}
"""


def test_an_env_file_that_is_not_there_is_told_once_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A= # fill in\n")

    plan = plan_of(tmp_path, ENV_FILES)

    told = [(w.where.line, w.what) for w in plan.remarks.warnings if w.where]
    assert told == [
        (line, f"env_file {str(tmp_path / name)!r} cannot be read: No such file or directory")
        for line, name in [(1, "all.env"), (2, "default.env"), (4, "later.env")]
    ]


def test_an_env_file_that_is_damaged_is_an_error_without_what_stands_in_it(tmp_path: Path) -> None:
    (tmp_path / "all.env").write_bytes(b"A=\xff\n")
    (tmp_path / "default.env").write_text("A=1\n")
    (tmp_path / "a.env").write_text("A=1\n\nhunter2\n")
    (tmp_path / "later.env").mkdir()

    first, second = problems_of(tmp_path, ENV_FILES)

    assert first.startswith(f"1: env_file {str(tmp_path / 'all.env')!r} is damaged: 'utf-8' codec")
    assert second == f"4: env_file {str(tmp_path / 'a.env')!r} is damaged: line 3 is not NAME=value"


@pytest.mark.parametrize(
    "line", ["env_file: {}\ntasks: {{}}", "tasks: {{t: {{command: x, env_file: {}}}}}"]
)
def test_an_env_file_that_is_no_regular_file_is_told_and_not_waited_for(
    tmp_path: Path, line: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "/dev/zero", "/tmp"):
        [warning] = plan_of(tmp_path, line.format(name) + "\n").remarks.warnings
        assert "cannot be read: " in warning.what


@pytest.mark.anyio
async def test_a_plan_that_is_not_made_in_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Event()

    def hang(*_: object) -> None:
        answers.wait(60)

    monkeypatch.setattr("jobrunner.daemon.plan.make_plan", hang)
    with pytest.raises(ManifestError) as caught:
        await make_plan_aside(tmp_path / "jobs.yaml", {}, Guard.NONE, 0.05)
    answers.set()

    assert "was not read within 0.05 s" in caught.value.problems[0].what


@pytest.mark.anyio
async def test_a_plan_made_aside_is_the_plan_or_its_problems(tmp_path: Path) -> None:
    plan_of(tmp_path, NIGHTLY)
    plan = await make_plan_aside(tmp_path / "jobs.yaml", {}, Guard.NONE, 60)
    assert plan.manifest.name == "shop"

    with pytest.raises(ManifestError):
        await make_plan_aside(tmp_path / "none.yaml", {}, Guard.NONE, 60)
