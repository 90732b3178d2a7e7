"""A function host: `python -m jobrunner.runner.hostchild FD PARENT FOLDER`.

Performs synchronous functions for one worker, one after the other, so that a timeout can end a
function that no exception reaches, and a crash costs one job. Ends with the worker.
"""

import asyncio
import ctypes
import faulthandler
import importlib
import logging
import os
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

from jobrunner.clock import from_ms
from jobrunner.context import Context
from jobrunner.errors import InvalidArguments
from jobrunner.model import JobError, Reason
from jobrunner.runner.calling import BadResultValue, Callee, encode_result, load_callee
from jobrunner.runner.hostwire import (
    Call,
    End,
    FrameReader,
    Loaded,
    Progress,
    Raised,
    Ready,
    Reply,
    Returned,
    decode_call,
    frame,
)
from jobrunner.runner.prctl import die_with_parent
from jobrunner.runner.tracebacks import exception_error, exception_names

READ_BYTES = 64 << 10
LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"
STOPPED_EXIT = 128 + signal.SIGTERM


class Stopped(BaseException):
    """TERM has come during a call: `finally` blocks run, `except Exception` does not hold it."""


class FunctionHost:
    """Serves calls from the worker's socket."""

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._callees: dict[str, Callee] = {}
        self._sending = threading.Lock()  # progress may come from the function's threads
        self._libc = ctypes.CDLL(None)
        self._injector: Any = None
        self._loop = asyncio.Runner()  # one for all calls: dependencies may keep connections

    def serve(self) -> None:
        """Perform calls until the worker closes the socket."""
        frames = FrameReader()
        self._send(Ready())
        while data := self._worker.recv(READ_BYTES):
            for body in frames.feed(data):
                self._send(self._perform(decode_call(body)))

    def _perform(self, call: Call) -> End:
        signal.signal(signal.SIGTERM, _stop)
        try:
            return Returned(encode_result(self._call(call)))
        except Stopped:
            self._flush()
            os._exit(STOPPED_EXIT)  # at once: threads of the function have no say in it
        except InvalidArguments as error:
            wrong = JobError(type="InvalidArguments", message=str(error))
            return Raised(wrong, Reason.INVALID_ARGUMENTS)
        except BadResultValue as error:
            return Raised(JobError(type="result", message=str(error)), Reason.ERROR)
        except BaseException as error:  # SystemExit, too, is the failure of this job only
            return Raised(exception_error(error), Reason.ERROR, exception_names(error))
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._flush()  # before the reply: the worker reads the output's end when it comes

    def _call(self, call: Call) -> Any:
        callee = self._callee(call.target)
        context = self._context(call)
        if self._needs_taskiq(callee):
            invoked = self._taskiq().invoke(callee, call.arguments, context, call.labels)
            return self._loop.run(invoked)
        value = callee.function(*call.args, **callee.keywords(call.arguments, context))
        return self._loop.run(value) if asyncio.iscoroutine(value) else value

    def _callee(self, target: str) -> Callee:
        callee = self._callees.get(target)
        if callee is None:
            callee = self._callees[target] = load_callee(target)
            self._send(Loaded())
        return callee

    def _needs_taskiq(self, callee: Callee) -> bool:
        # A module that adds middlewares has loaded the broker to do so.
        has_broker = "jobrunner.broker" in sys.modules
        return callee.uses_taskiq or (has_broker and self._taskiq().has_middlewares)

    def _taskiq(self) -> Any:
        # By name and only now: the broker is a higher layer, and few functions need it.
        if self._injector is None:
            module = importlib.import_module("jobrunner.broker")
            broker = module.default_broker()
            broker.is_worker_process = True  # so that the handlers of a worker's start run
            self._loop.run(broker.startup())
            self._injector = module.Injector(broker)
        return self._injector

    def _context(self, call: Call) -> Context:
        return Context(
            job_id=call.job_id,
            task=call.task,
            attempt=call.attempt,
            fence=call.fence,
            queue=call.queue,
            fire_time=None if call.fire_time is None else from_ms(call.fire_time),
            report=lambda value: self._send(Progress(value)),
        )

    def _flush(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._libc.fflush(None)  # what C code has printed

    def _send(self, message: Reply) -> None:
        with self._sending:
            self._worker.sendall(frame(message))


def _stop(_number: int, _frame: object) -> NoReturn:
    raise Stopped


def main() -> None:
    """Serve the worker that has started this process."""
    fd, parent, folder = sys.argv[1:]
    die_with_parent(int(parent))
    os.set_inheritable(int(fd), False)  # what a function starts has no use for it
    faulthandler.enable()  # a crash in C shows where in Python it happened
    sys.path.insert(0, folder)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text file here
    logging.basicConfig(format=LOG_FORMAT, level=logging.INFO, stream=sys.stderr)
    with socket.socket(fileno=int(fd)) as worker:
        FunctionHost(worker).serve()


if __name__ == "__main__":
    main()
