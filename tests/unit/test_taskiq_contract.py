"""What `jobrunner/broker/` needs of taskiq beyond its documented interface.

A new minor version that breaks one of these is not to be allowed in pyproject.toml.
"""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from taskiq import AsyncBroker, Context, TaskiqDepends, TaskiqMiddleware, TaskiqResult
from taskiq.decor import AsyncTaskiqDecoratedTask
from taskiq.kicker import AsyncKicker
from taskiq.labels import LabelType
from taskiq.message import BrokerMessage, TaskiqMessage
from taskiq.result_backends.dummy import DummyResultBackend
from taskiq.task import AsyncTaskiqTask
from taskiq_dependencies import DependencyGraph
from taskiq_dependencies.ctx import AsyncResolveContext
from taskiq_redis import RedisStreamBroker

from jobrunner.runner.calling import callee_of


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            AsyncTaskiqDecoratedTask.__init__,
            ["self", "broker", "task_name", "original_func", "labels", "return_type"],
        ),
        (AsyncTaskiqDecoratedTask.kicker, ["self"]),
        (AsyncKicker.__init__, ["self", "task_name", "broker", "labels", "return_type"]),
        (AsyncKicker.kiq, ["self", "args", "kwargs"]),
        (AsyncTaskiqTask.__init__, ["self", "task_id", "result_backend", "return_type"]),
        (AsyncTaskiqTask.wait_result, ["self", "check_interval", "timeout", "with_logs"]),
        (AsyncTaskiqTask.get_result, ["self", "with_logs"]),
        (Context.__init__, ["self", "message", "broker", "ack_controller"]),
        (Context.requeue, ["self"]),
        (DependencyGraph.__init__, ["self", "target", "replaced_deps"]),
        (
            DependencyGraph.async_ctx,
            ["self", "initial_cache", "replaced_deps", "exception_propagation"],
        ),
        (AsyncResolveContext.resolve_kwargs, ["self"]),
    ],
)
def test_what_is_overridden_or_called_has_the_signature_it_had(
    function: Callable[..., Any], expected: list[str]
) -> None:
    assert parameters(function) == expected


def test_a_kicked_task_has_what_is_read_from_it() -> None:
    backend: DummyResultBackend[int] = DummyResultBackend()

    kicked = AsyncTaskiqTask("job1", backend, return_type=int)

    assert (kicked.task_id, kicked.result_backend, kicked.return_type) == ("job1", backend, int)


def test_the_startup_behind_that_of_streams_is_the_plain_brokers() -> None:
    behind = RedisStreamBroker.__mro__[RedisStreamBroker.__mro__.index(RedisStreamBroker) + 1 :]

    owner = next(each for each in behind if "startup" in vars(each))

    assert owner is AsyncBroker


def test_making_a_stream_broker_connects_to_nothing() -> None:
    broker = RedisStreamBroker("unix:///nonexistent")

    assert broker.middlewares == []
    assert broker.custom_dependency_context == {}
    assert broker.local_task_registry == {}
    assert broker.is_worker_process is False


def test_messages_have_the_fields_they_had() -> None:
    assert set(TaskiqMessage.model_fields) == {
        "task_id",
        "task_name",
        "labels",
        "labels_types",
        "args",
        "kwargs",
    }
    assert set(BrokerMessage.model_fields) == {"task_id", "task_name", "message", "labels"}
    assert {"is_err", "return_value", "execution_time", "error", "labels", "log"} == set(
        TaskiqResult.model_fields
    )


def test_label_types_are_those_that_can_be_carried_and_two_that_cannot() -> None:
    assert {each.name for each in LabelType} == {"ANY", "INT", "STR", "FLOAT", "BOOL", "BYTES"}


def test_middlewares_have_the_hooks_that_are_called() -> None:
    hooks = {name for name in vars(TaskiqMiddleware) if not name.startswith("_")}

    assert {"pre_execute", "post_execute", "on_error", "post_save"} <= hooks


def test_what_needs_taskiq_is_recognised_by_name_without_loading_it() -> None:
    async def plain(path: str) -> None: ...

    async def needy(path: str, ctx: Context = TaskiqDepends()) -> None: ...  # noqa: B008

    assert not callee_of(plain).uses_taskiq
    assert callee_of(needy).uses_taskiq
