"""@task and @cron note a function, load nothing heavy, and refuse options that do not exist."""

import pickle
import pkgutil
import subprocess
import sys

import pytest

import jobrunner.client
import jobrunner.context
from jobrunner import cron, task
from jobrunner.tasks import TaskFunction


@task(retry={"attempts": 3}, lock_ttl="2m")
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@cron("0 2 * * *", timezone="Europe/Berlin", name="nightly")
@cron("*/5 * * * *")
async def greet(name: str = "you") -> str:
    return f"hello {name}"


def test_a_task_is_called_like_its_function() -> None:
    assert double(21) == 42
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice the number."


@pytest.mark.anyio
async def test_an_async_task_is_awaited_like_its_function() -> None:
    assert await greet("Ada") == "hello Ada"


def test_whether_the_function_is_async_is_told() -> None:
    assert greet.is_async
    assert not double.is_async


def test_the_decorator_notes_only_the_options_that_were_given() -> None:
    assert double.options == {"retry": {"attempts": 3}, "lock_ttl": "2m"}
    assert double.crons == ()


def test_task_may_stand_without_parentheses() -> None:
    @task
    def plain() -> None: ...

    assert isinstance(plain, TaskFunction)
    assert plain.options == {}


def test_stacked_crons_are_kept_in_the_order_of_the_source() -> None:
    assert greet.crons == (
        {"cron": "0 2 * * *", "timezone": "Europe/Berlin", "name": "nightly"},
        {"cron": "*/5 * * * *"},
    )


def test_task_and_cron_may_stand_in_either_order() -> None:
    @task(queue="web")
    @cron("@hourly")
    def below() -> None: ...

    @cron("@hourly")
    @task(queue="web")
    def above() -> None: ...

    for function in (below, above):
        assert function.options == {"queue": "web"}
        assert function.crons == ({"cron": "@hourly"},)


def test_the_name_is_the_functions_unless_one_is_given() -> None:
    @task(name="resize-image")
    def resize() -> None: ...

    assert resize.name == "resize-image"
    assert double.name == "double"


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(TypeError, match="@task has no option 'tiemout': did you mean 'timeout'"):
        task(tiemout="5m")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="@cron has no option 'x': it has name, description, "):
        cron("@daily", x=1)  # type: ignore[call-arg]


def test_a_task_is_pickled_as_a_name_of_its_module() -> None:
    assert pickle.loads(pickle.dumps(double)) is double  # noqa: S301 - our own bytes


def test_declaring_tasks_loads_no_heavy_library() -> None:
    heavy = {"taskiq", "pydantic", "croniter", "redis", "asyncio", "jobrunner.client"}
    code = "import sys; from jobrunner import cron, task; print(*sys.modules)"

    loaded = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert heavy.isdisjoint(loaded.split())


def test_the_package_gives_all_that_it_names() -> None:
    names = {name: getattr(jobrunner, name) for name in jobrunner.__all__}

    assert names["Client"] is jobrunner.client.Client
    assert names["Context"] is jobrunner.context.Context
    with pytest.raises(AttributeError, match="has no attribute 'Clinet'"):
        getattr(jobrunner, "Clinet")  # noqa: B009 - mypy refuses the plain access


def test_no_module_of_the_package_takes_the_name_of_something_it_exports() -> None:
    # Importing `jobrunner.cron` would set the package's attribute `cron` to the module, and
    # `from jobrunner import cron` would then give one or the other, by the order of imports.
    modules = {module.name for module in pkgutil.iter_modules(jobrunner.__path__)}

    assert modules.isdisjoint(jobrunner.__all__)
