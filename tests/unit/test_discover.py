"""Discovery: what a child finds in the modules of a manifest, and what it says of broken ones."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest

from jobrunner.clock import SystemClock
from jobrunner.discover import Discovery, discover
from jobrunner.discover.answer import Key
from jobrunner.errors import Location, Problem
from jobrunner.params import ParamSpec, ParamType

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a module of the manifest's folder."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
        return path

    return write


def found_params(folder: Path, signature: str, head: str = "") -> list[ParamSpec]:
    """The parameters of `def f(<signature>)` after the lines of `head`."""
    (folder / "one.py").write_text(f"{head}\ndef f({signature}): ...\n")
    discovery = discover([], {"f": "one:f"}, folder)
    assert discovery.problems == []
    return discovery.found[0].params


def ended_within(pid: int, seconds: float) -> bool:
    """Whether the process ends; a zombie that nobody reaps has ended, too."""
    clock = SystemClock()
    deadline = clock.monotonic() + seconds
    while clock.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
    return False


def only_problem(discovery: Discovery) -> Problem:
    assert len(discovery.problems) == 1
    return discovery.problems[0].problem


def test_decorated_functions_are_found_with_options_crons_and_place(
    tmp_path: Path, write: Write
) -> None:
    path = write(
        "jobs.py",
        '''\
        from datetime import timedelta
        from jobrunner import cron, task

        @cron("*/5 * * * *", lock_ttl=120)
        @task(name="clean-up", timeout=timedelta(minutes=2), retry={"attempts": 3})
        async def cleanup(days: int = 30) -> int:
            """Remove old rows.

            More to read.
            """
            return days

        def helper(): ...
        ''',
    )

    discovery = discover(["jobs"], {}, tmp_path)

    assert discovery.problems == []
    [task] = discovery.found
    assert (task.name, task.target, task.is_async) == ("clean-up", "jobs:cleanup", True)
    assert task.description == "Remove old rows."
    assert task.options == {"timeout": 120.0, "retry": {"attempts": 3}}
    assert task.crons == [{"name": "clean-up", "cron": "*/5 * * * *", "lock_ttl": 120}]
    assert task.params == [ParamSpec("days", ParamType.INTEGER, default=30, required=False)]
    assert task.where == Location(str(path), 4, 1)


def test_a_plain_function_is_found_when_the_manifest_names_it(tmp_path: Path, write: Write) -> None:
    write("shop/__init__.py", "")
    write("shop/jobs.py", "def report(day): ...\n")

    [task] = discover([], {"daily": "shop.jobs:report"}, tmp_path).found

    assert (task.name, task.target, task.is_async) == ("daily", "shop.jobs:report", False)
    assert task.params == [ParamSpec("day", ParamType.ANY)]


def test_a_re_exported_task_is_found_once_at_its_definition(tmp_path: Path, write: Write) -> None:
    write("shop/__init__.py", "from shop.jobs import resize\n")
    write("shop/jobs.py", "from jobrunner import task\n@task\ndef resize(): ...\n")

    discovery = discover(["shop", "shop.jobs"], {}, tmp_path)

    assert discovery.problems == []
    assert [task.target for task in discovery.found] == ["shop.jobs:resize"]


def test_a_function_that_the_manifest_names_goes_by_that_name_with_its_crons(
    tmp_path: Path, write: Write
) -> None:
    write("jobs.py", "from jobrunner import cron\n@cron('@daily')\ndef tidy(): ...\n")

    [task] = discover(["jobs"], {"tidy-up": "jobs:tidy"}, tmp_path).found

    assert task.name == "tidy-up"
    assert [cron["name"] for cron in task.crons] == ["tidy-up"]


def test_crons_of_a_function_with_two_names_belong_to_the_first(
    tmp_path: Path, write: Write
) -> None:
    write("jobs.py", "from jobrunner import cron\n@cron('@daily')\ndef tidy(): ...\n")

    first, second = discover([], {"b": "jobs:tidy", "a": "jobs:tidy"}, tmp_path).found

    assert (first.name, [cron["name"] for cron in first.crons]) == ("b", ["b"])
    assert (second.name, second.crons) == ("a", [])


def test_stacked_crons_without_names_are_numbered(tmp_path: Path, write: Write) -> None:
    write(
        "jobs.py",
        """\
        from jobrunner import cron
        @cron("@daily")
        @cron("@hourly", name="often")
        @cron("@weekly")
        def tidy(): ...
        """,
    )

    [task] = discover(["jobs"], {}, tmp_path).found

    assert [cron["name"] for cron in task.crons] == ["tidy", "often", "tidy-2"]


def test_a_decorator_above_task_hides_neither_the_task_nor_its_options(
    tmp_path: Path, write: Write
) -> None:
    write(
        "jobs.py",
        """\
        import functools
        from jobrunner import task

        def loud(function):
            @functools.wraps(function)
            def inner(*args, **kwargs):
                return function(*args, **kwargs)
            return inner

        @loud
        @task(queue="web")
        def shout(text: str) -> None: ...
        """,
    )

    found = discover(["jobs"], {}, tmp_path).found

    assert [(each.name, each.target, each.options) for each in found] == [
        ("shout", "jobs:shout", {"queue": "web"})
    ]
    assert found[0].params == [ParamSpec("text", ParamType.STRING, required=True)]


def test_two_functions_of_one_name_are_a_problem_that_names_both(
    tmp_path: Path, write: Write
) -> None:
    write("one.py", "from jobrunner import task\n@task\ndef resize(): ...\n")
    second = write("two.py", "from jobrunner import task\n@task\ndef resize(): ...\n")

    problem = only_problem(discover(["one", "two"], {}, tmp_path))

    assert problem.what == "two tasks are named 'resize': one:resize and two:resize"
    assert problem.where == Location(str(second), 2, 1)


@pytest.mark.parametrize(
    ("annotation", "type_", "choices"),
    [
        ("str", ParamType.STRING, None),
        ("int", ParamType.INTEGER, None),
        ("float", ParamType.NUMBER, None),
        ("bool", ParamType.BOOLEAN, None),
        ("date", ParamType.DATE, None),
        ("datetime", ParamType.DATETIME, None),
        ("int | None", ParamType.INTEGER, None),
        ("Optional[str]", ParamType.STRING, None),
        ("Annotated[float, 'metres']", ParamType.NUMBER, None),
        ("'int'", ParamType.INTEGER, None),
        ("'Unknown'", ParamType.ANY, None),
        ("int | str", ParamType.ANY, None),
        ("list[str]", ParamType.ANY, None),
        ("Literal['eu', 'us']", ParamType.STRING, ["eu", "us"]),
        ("Literal[1, 'two']", ParamType.ANY, [1, "two"]),
        ("Size", ParamType.INTEGER, [1, 2]),
        ("UserId", ParamType.INTEGER, None),
    ],
)
def test_types_become_parameter_types(
    tmp_path: Path, annotation: str, type_: ParamType, choices: list[Any] | None
) -> None:
    head = dedent(
        """\
        from datetime import date, datetime
        from enum import Enum
        from typing import Annotated, Literal, NewType, Optional
        UserId = NewType("UserId", int)
        class Size(Enum):
            SMALL = 1
            LARGE = 2
        """
    )

    assert found_params(tmp_path, f"a: {annotation}", head) == [
        ParamSpec("a", type_, choices=choices)
    ]


def test_defaults_become_plain_values_and_the_strange_ones_are_left_out(tmp_path: Path) -> None:
    head = "from datetime import date, timedelta\n"

    params = found_params(
        tmp_path,
        "a=None, b=date(2026, 11, 21), c=timedelta(minutes=1), d=object(), *, e='x'",
        head,
    )

    assert [(each.name, each.default) for each in params] == [
        ("a", None),
        ("b", "2026-11-21"),
        ("c", 60.0),
        ("d", None),
        ("e", "x"),
    ]
    assert not any(each.required for each in params)


@pytest.mark.parametrize(
    "parameter",
    [
        "ctx: Context",
        "ctx: Context | None = None",
        "ctx: 'Context'",
        "ctx: TaskiqContext = TaskiqDepends()",
        "session=TaskiqDepends(dict)",
        "session: Annotated[dict, TaskiqDepends(dict)]",
    ],
)
def test_parameters_that_jobrunner_fills_in_are_left_out(tmp_path: Path, parameter: str) -> None:
    head = dedent(
        """\
        from typing import Annotated
        from taskiq import Context as TaskiqContext, TaskiqDepends
        from jobrunner.context import Context
        """
    )

    assert found_params(tmp_path, f"{parameter}, *, a: int", head) == [
        ParamSpec("a", ParamType.INTEGER)
    ]


@pytest.mark.parametrize(
    ("signature", "shown"), [("*args", "*args"), ("**kwargs", "**kwargs"), ("a, /", "a, /")]
)
def test_parameters_without_a_name_are_refused(
    tmp_path: Path, write: Write, signature: str, shown: str
) -> None:
    path = write("jobs.py", f"def f({signature}): ...\n")

    problem = only_problem(discover([], {"f": "jobs:f"}, tmp_path))

    assert problem.what == f"task 'f': parameter '{shown}' cannot be filled"
    assert problem.where == Location(str(path), 1, 1)


def test_an_option_of_a_strange_type_is_a_problem_at_its_function(
    tmp_path: Path, write: Write
) -> None:
    write("jobs.py", "from jobrunner import task\n@task(queue=object)\ndef f(): ...\n")

    problem = only_problem(discover(["jobs"], {}, tmp_path))

    assert problem.what == "task 'f' has an option of a wrong type"
    assert problem.why == "<class 'object'> is a type"


def test_a_failing_import_is_shown_at_the_line_of_the_user(tmp_path: Path, write: Write) -> None:
    write("jobs.py", "import settings\n")
    settings = write("settings.py", "import json\nLIMITS = json.loads('no')\n")

    problem = only_problem(discover(["jobs"], {}, tmp_path))

    assert problem.where == Location(str(settings), 2, 10)
    assert problem.what == "module 'jobs' cannot be imported"
    assert problem.why is not None
    assert problem.why.startswith("json.decoder.JSONDecodeError: Expecting value")
    assert problem.excerpt == "LIMITS = json.loads('no')\n         ^"


def test_a_syntax_error_is_shown_at_its_place(tmp_path: Path, write: Write) -> None:
    path = write("jobs.py", "import os\nvalue = = 3\n")

    problem = only_problem(discover(["jobs"], {}, tmp_path))

    assert problem.where == Location(str(path), 2, 9)
    assert problem.why == "SyntaxError: invalid syntax"


def test_an_unknown_option_is_shown_at_its_decorator(tmp_path: Path, write: Write) -> None:
    path = write("jobs.py", "from jobrunner import task\n\n@task(tiemout=3)\ndef f(): ...\n")

    problem = only_problem(discover(["jobs"], {}, tmp_path))

    assert problem.where == Location(str(path), 3, 2)
    assert problem.why == "TypeError: @task has no option 'tiemout': did you mean 'timeout'?"


def test_a_missing_module_is_suggested_by_its_nearest_name(tmp_path: Path, write: Write) -> None:
    write("shop/__init__.py", "")
    write("shop/reports.py", "")

    discovery = discover(["shop.report", "shoop"], {}, tmp_path)

    first, second = discovery.problems
    assert (first.key, second.key) == (("imports", 0), ("imports", 1))
    assert first.problem.what == "module 'shop.report' is not found"
    assert first.problem.fix == "did you mean 'shop.reports'?"
    assert second.problem.fix == "did you mean 'shop'?"


def test_a_library_that_is_not_installed_is_named(tmp_path: Path, write: Write) -> None:
    write("jobs.py", "import no_such_library\n")

    problem = only_problem(discover(["jobs"], {}, tmp_path))

    assert problem.why == "ModuleNotFoundError: No module named 'no_such_library'"
    assert problem.fix is not None
    assert problem.fix.startswith("install 'no_such_library' for ")


def test_a_missing_function_is_suggested_by_its_nearest_name(tmp_path: Path, write: Write) -> None:
    write("jobs.py", "import os\ndef cleanup(): ...\nLIMIT = 3\n")

    discovery = discover([], {"a": "jobs:clenup", "b": "jobs:LIMIT"}, tmp_path)

    missing, value = discovery.problems
    assert missing.key == ("tasks", "a", "python")
    assert missing.problem.what == "module 'jobs' has no function 'clenup'"
    assert missing.problem.why == "it defines cleanup"
    assert missing.problem.fix == "did you mean 'jobs:cleanup'?"
    assert value.problem.what == "'jobs:LIMIT' is not a function"


def test_a_broken_module_is_reported_once_and_the_others_are_found(
    tmp_path: Path, write: Write
) -> None:
    write("broken.py", "raise RuntimeError('boom')\n")
    write("sound.py", "from jobrunner import task\n@task\ndef f(): ...\n")

    discovery = discover(["broken", "sound"], {"g": "broken:g"}, tmp_path)

    assert only_problem(discovery).why == "RuntimeError: boom"
    assert [task.name for task in discovery.found] == ["f"]


def test_a_module_that_exits_at_import_is_a_problem(tmp_path: Path, write: Write) -> None:
    write("jobs.py", "import sys\nsys.exit(3)\n")

    assert only_problem(discover(["jobs"], {}, tmp_path)).why == "SystemExit: 3"


def test_a_module_that_ends_the_process_is_named_with_its_last_words(
    tmp_path: Path, write: Write
) -> None:
    write("jobs.py", "import os\nprint('bye', flush=True)\nos.abort()\n")

    problem = only_problem(discover(["jobs"], {}, tmp_path))

    assert problem.what == "importing module 'jobs' ended the process (signal 6)"
    assert problem.why == "bye"


def test_a_module_that_prints_reads_or_starts_threads_disturbs_nothing(
    tmp_path: Path, write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    write(
        "jobs.py",
        """\
        import sys, threading
        from jobrunner import task
        print("x" * 100_000)
        print("to stderr", file=sys.stderr)
        assert sys.stdin.read() == ""
        threading.Thread(target=threading.Event().wait).start()
        @task
        def f(): ...
        """,
    )

    discovery = discover(["jobs"], {}, tmp_path)

    assert [task.name for task in discovery.found] == ["f"]
    assert capfd.readouterr() == ("", "")


def test_a_process_started_by_a_module_does_not_outlive_discovery(
    tmp_path: Path, write: Write
) -> None:
    write(
        "jobs.py",
        """\
        import subprocess
        from pathlib import Path
        Path("pid").write_text(str(subprocess.Popen(["sleep", "60"]).pid))
        """,
    )

    discover(["jobs"], {}, tmp_path)

    pid = int((tmp_path / "pid").read_text())
    assert ended_within(pid, seconds=5)


def test_a_hanging_module_is_killed_and_shown_at_the_line_where_it_hangs(
    tmp_path: Path, write: Write
) -> None:
    path = write("jobs.py", "import threading\n\nthreading.Event().wait()\n")

    problem = only_problem(discover(["jobs"], {}, tmp_path, timeout=timedelta(seconds=1)))

    assert problem.what == "importing module 'jobs' took longer than 1 s"
    assert problem.where == Location(str(path), 3, 1)


def test_modules_beside_the_manifest_do_not_hide_jobrunner(tmp_path: Path, write: Write) -> None:
    write("jobrunner.py", "raise RuntimeError('not this one')\n")
    write("jobs.py", "from jobrunner import task\n@task\ndef f(): ...\n")

    assert [task.name for task in discover(["jobs"], {}, tmp_path).found] == ["f"]


def test_a_problem_without_a_place_gets_that_of_its_key(tmp_path: Path) -> None:
    places: dict[Key, Location] = {("imports", 0): Location("jobs.yaml", 7, 3)}

    [problem] = discover(["nowhere"], {}, tmp_path).located(places.__getitem__)

    assert problem.where == Location("jobs.yaml", 7, 3)


def test_user_code_is_never_imported_into_this_process(tmp_path: Path, write: Write) -> None:
    write(
        "jobs.py", "import os\nfrom pathlib import Path\nPath('pid').write_text(str(os.getpid()))"
    )

    discover(["jobs"], {}, tmp_path)

    assert int((tmp_path / "pid").read_text()) != os.getpid()
