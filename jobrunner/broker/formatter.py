"""Translates taskiq's message into ours and back: labels are scalars, arguments have names."""

import inspect
from typing import TYPE_CHECKING, Any

from taskiq.abc.formatter import TaskiqFormatter
from taskiq.labels import LabelType
from taskiq.message import BrokerMessage, TaskiqMessage

from jobrunner import message as wire
from jobrunner.errors import InvalidArguments, UsageError

if TYPE_CHECKING:
    from taskiq import AsyncBroker

SCALARS = {LabelType.INT, LabelType.STR, LabelType.FLOAT, LabelType.BOOL}


class JobFormatter(TaskiqFormatter):
    """JSON of a job's message; never pickle."""

    def __init__(self, broker: "AsyncBroker") -> None:
        self._broker = broker

    def dumps(self, message: TaskiqMessage) -> BrokerMessage:
        """Raises InvalidArguments, and UsageError for a label with structure."""
        body = wire.Message(
            message.task_name, self._named_arguments(message), labels=scalar_labels(message)
        )
        text = wire.encode(body)
        return BrokerMessage(
            task_id=message.task_id,
            task_name=message.task_name,
            message=text,
            labels=dict(body.labels),
        )

    def loads(self, message: bytes) -> TaskiqMessage:
        """Without an id: it is no part of the message."""
        return taskiq_message("", wire.decode(message))

    def _named_arguments(self, message: TaskiqMessage) -> dict[str, Any]:
        """Positional arguments under the names that the function's signature gives them."""
        if not message.args:
            return message.kwargs
        task = self._broker.find_task(message.task_name)
        if task is None:
            raise InvalidArguments(
                f"task {message.task_name!r} is not known here, so its arguments need names",
                fix="submit them by name, e.g. `kiq(path='a.png')`",
            )
        try:
            bound = inspect.signature(task.original_func).bind_partial(
                *message.args, **message.kwargs
            )
        except TypeError as error:
            raise InvalidArguments(
                f"the arguments of task {message.task_name!r} do not fit: {error}",
                why=f"it is declared as {inspect.signature(task.original_func)}",
                fix="give the arguments as its signature asks for them",
            ) from error
        return dict(bound.arguments)


def taskiq_message(job_id: str, body: wire.Message) -> TaskiqMessage:
    """As middlewares and `taskiq.Context` see a job."""
    return TaskiqMessage(
        task_id=job_id,
        task_name=body.task,
        labels=dict(body.labels),
        args=list(body.args),
        kwargs=dict(body.kwargs),
    )


def scalar_labels(message: TaskiqMessage) -> dict[str, Any]:
    """The labels with their types. taskiq makes texts of them, also of what has a structure."""
    types = message.labels_types or {}
    for name, value in message.labels.items():
        # Labels of a middleware have no type: they are still what they were.
        is_scalar = (
            types[name] in SCALARS if name in types else isinstance(value, str | int | float)
        )
        if not is_scalar:
            raise UsageError(
                f"label {name!r} of task {message.task_name!r} is no text, number or boolean",
                why=f"it would arrive as the text {str(value)[:60]!r}",
                fix="put it into an argument of the task",
            )
    typed = message.model_copy(update={"labels": dict(message.labels)})
    typed.parse_labels()
    return typed.labels
