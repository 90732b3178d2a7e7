"""The broker that taskiq's API talks to: submits through the client, is read by our workers."""

import asyncio
from collections.abc import AsyncGenerator
from functools import cache
from typing import Any, ParamSpec, TypeVar, get_type_hints
from weakref import WeakKeyDictionary

from taskiq import AckableMessage
from taskiq.message import BrokerMessage
from taskiq_redis import RedisStreamBroker

from jobrunner import message as wire
from jobrunner.broker.formatter import JobFormatter
from jobrunner.broker.kicking import JobTask
from jobrunner.broker.results import JobResultBackend
from jobrunner.client import AsyncClient, JobRequest
from jobrunner.errors import UsageError
from jobrunner.locate import find_store
from jobrunner.model import new_job_id
from jobrunner.store.address import StoreAddress
from jobrunner.tasks import TaskFunction

P = ParamSpec("P")
R = TypeVar("R")

# Labels that say how the job is submitted; all others are only carried. `queue_name` is the one
# that taskiq-redis reads.
QUEUE_LABEL = "queue_name"
PRIORITY_LABEL = "priority"
DELAY_LABEL = "delay"  # seconds, or a text such as "5m"


class JobBroker(RedisStreamBroker):
    """taskiq's interface to a namespace of jobrunner; it needs no `startup` to submit.

    Of the parent only the type is used: its streams, groups and acks lose jobs in ways that
    `tests/store/test_taskiq_hazards.py` lists.
    """

    def __init__(self, address: StoreAddress) -> None:
        # The parent's pool is never connected; what it is told is no secret.
        super().__init__(url="unix://" + (address.socket or "/unused"))
        self.address = address
        self.formatter = JobFormatter(self)
        self.id_generator = new_job_id
        self.decorator_class = JobTask
        self.result_backend: JobResultBackend = JobResultBackend(self.client)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = (
            WeakKeyDictionary()
        )

    def client(self) -> AsyncClient:
        """The client of the running loop: a program may run several loops, one after another."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            at = self.address
            client = AsyncClient(at.name, at.url, socket=at.socket)
            self._clients[loop] = client
        return client

    async def startup(self) -> None:
        """Run the startup events and middlewares. The parent's would make a group at `$`."""
        await super(RedisStreamBroker, self).startup()

    async def shutdown(self) -> None:
        """Run the shutdown events and middlewares, and disconnect."""
        await super().shutdown()
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    async def kick(self, message: BrokerMessage) -> None:
        """Submit a job. Raises JobNotFound, InvalidArguments, UsageError, StoreUnavailable."""
        body = wire.decode(message.message)
        request = JobRequest(
            body.task,
            body.kwargs,
            queue=body.labels.get(QUEUE_LABEL),
            priority=body.labels.get(PRIORITY_LABEL),
            delay=body.labels.get(DELAY_LABEL),
            id=message.task_id,
            target=self._target(body.task),
            labels=body.labels,
        )
        await self.client().submit_batch([request])

    def take_up(self, function: TaskFunction[P, R]) -> JobTask[P, R]:
        """Make a `@task` function known here, and let its `kiq` submit here."""
        task = JobTask(self, function.name, function.function, {}, _return_type(function))
        self.local_task_registry[task.task_name] = task
        function.bind(task)
        return task

    def _target(self, task_name: str) -> str:
        task = self.find_task(task_name)
        if task is None:
            return ""
        function = task.original_func
        return f"{function.__module__}:{function.__qualname__}"

    def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Refused: jobs are claimed under a lease, which taskiq's workers do not have."""
        raise UsageError(
            "taskiq cannot listen to this broker",
            why="its workers would run jobs without lease, lock, timeout and record",
            fix="start workers with `jobrunner run`",
        )


@cache
def default_broker() -> JobBroker:
    """The broker of the manifest that the CLI would use here; one per process.

    Add middlewares and event handlers to it in a module that the manifest imports. Raises what
    `find_store` raises.
    """
    return JobBroker(find_store().address)


def take_up(function: TaskFunction[P, R]) -> JobTask[P, R]:
    """Make a `@task` function known to the default broker, at its first `kiq`."""
    return default_broker().take_up(function)


def _return_type(function: TaskFunction[P, R]) -> Any:
    try:
        return get_type_hints(function.function).get("return")
    except (NameError, AttributeError, TypeError):
        return None  # a name imported for type checkers only: then results stay plain JSON
