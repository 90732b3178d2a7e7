"""One function host, as the worker sees it: a child process that performs calls, one at a time."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from jobrunner.clock import Clock, to_ms
from jobrunner.model import JobError, Reason
from jobrunner.runner.attempt import Attempt, Ended, Outcome, Stop, StopReason
from jobrunner.runner.environment import secret_arguments
from jobrunner.runner.exits import on_exit
from jobrunner.runner.failures import CannotStart, death_of
from jobrunner.runner.hostwire import (
    Call,
    End,
    FrameReader,
    Loaded,
    Progress,
    Ready,
    Reply,
    Returned,
    decode_reply,
    frame,
)
from jobrunner.runner.output import Output, masked_error
from jobrunner.runner.pipes import PipeReader
from jobrunner.runner.processes import WORKER_VARIABLE, ProcessRegistry
from jobrunner.runner.progress import ProgressReport
from jobrunner.runner.waiting import Cause, first_of, stopped
from jobrunner.store.logs import Stream

READ_BYTES = 64 << 10
HOST_VARIABLE = "JOBRUNNER_HOST"
LOADING_TIMEOUT = timedelta(seconds=60)  # for importing the module, on top of the task's timeout
UNKILLABLE_S = 1.0  # for a process that KILL did not end: it hangs in the kernel
NO_JOB = ""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What all hosts of a worker share."""

    processes: ProcessRegistry
    folder: Path  # the manifest's: working folder, and first on sys.path
    environ: Mapping[str, str]
    clock: Clock
    write_progress: Callable[[Attempt, bytes], None]


class Host:
    """Started when made. Belongs to the worker's loop."""

    def __init__(self, name: str, settings: HostSettings, on_change: Callable[["Host"], None]):
        """`on_change` is called when the host becomes ready, and when it has died.

        Raises CannotStart.
        """
        self.name = name
        self.is_ready = False
        self.is_spent = False  # dead, or about to die: no call may be given to it
        self.idle_since = 0.0  # monotonic, once it has been used
        self._settings = settings
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._loaded_targets: set[str] = set()
        self._frames = FrameReader()
        self._progress: ProgressReport | None = None
        self._loading: asyncio.Future[None] | None = None
        self._end: asyncio.Future[End | None] | None = None  # None: the host has died
        self._exit_code: int | None = None
        self._exited: asyncio.Future[None] = self._loop.create_future()
        self._pipes = [PipeReader(stream) for stream in (Stream.STDOUT, Stream.STDERR)]
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            pid = self._spawn(theirs)
        host_variable = f"{HOST_VARIABLE}={name}"
        self._tree = settings.processes.add(pid, NO_JOB, host_variable)
        on_exit(self._loop, pid, self._note_exit)
        self._loop.add_reader(self._socket, self._on_readable)
        for pipe in self._pipes:
            pipe.start(self._loop)

    def _spawn(self, theirs: socket.socket) -> int:
        settings = self._settings
        own = {WORKER_VARIABLE: settings.processes.worker, HOST_VARIABLE: self.name}
        # -P: a folder `jobrunner` beside the manifest must not be taken for this package.
        module = [sys.executable, "-P", "-m", "jobrunner.runner.hostchild"]
        arguments = [str(theirs.fileno()), str(os.getpid()), str(settings.folder)]
        try:
            process = subprocess.Popen(
                [*module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._pipes[0].write_end,
                stderr=self._pipes[1].write_end,
                cwd=settings.folder,
                env={**settings.environ, **own},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            self._close()
            raise CannotStart(f"cannot start a function host: {error}") from error
        process.returncode = 0  # hand it over: it is reaped by its pid
        return process.pid

    @property
    def death(self) -> str:
        """How it ended, e.g. `exited with code 1`."""
        return death_of(self._exit_code)

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it."""
        return self._exit_code is not None and self._exit_code < 0

    async def perform(self, attempt: Attempt, output: Output, stop: Stop) -> Outcome:
        """Perform one attempt. Afterwards the host may be of no more use: see `is_spent`."""
        started = self._settings.clock.monotonic()
        output.mask(secret_arguments(attempt))
        self._progress = ProgressReport(
            self._loop, lambda value: self._settings.write_progress(attempt, value)
        )
        self._switch_output(output)
        self._settings.processes.assign(self._tree, attempt.job_id)
        try:
            cause = await self._call(attempt, stop)
            if cause is not None:
                await self._stop(cause, attempt.task.kill_grace.total_seconds())
            end = self._end.result() if self._end is not None and self._end.done() else None
        except BaseException:
            self.kill()  # the attempt was cancelled from outside, in the midst of a call
            raise
        finally:
            self._finish_call()
        duration = timedelta(seconds=self._settings.clock.monotonic() - started)
        if cause is not None:
            return stopped(cause, duration, attempt.task.timeout)
        return self._outcome(end, duration, output)

    async def stop(self, grace_s: float) -> None:
        """End the host; between calls it just ends."""
        self.is_spent = True
        if not self._exited.done():
            with contextlib.suppress(OSError):  # it has just died
                self._socket.shutdown(socket.SHUT_RDWR)  # the end it waits for
            await asyncio.wait([self._exited], timeout=grace_s)
        await self._tree.stop(0)

    def kill(self) -> None:
        """End the host and its children at once."""
        self.is_spent = True
        self._tree.kill()

    async def _call(self, attempt: Attempt, stop: Stop) -> Cause | None:
        target = attempt.task.python or ""
        timeout = attempt.task.timeout
        self._end = self._loop.create_future()
        await self._send(frame(_call_of(attempt, target)))
        if target not in self._loaded_targets:
            # The first call imports the module, which may take longer than the task ever does.
            self._loading = self._loop.create_future()
            patience = None if timeout is None else timeout + LOADING_TIMEOUT
            cause = await first_of(self._loading, stop, patience)
            if cause is not None or self._end.done():
                return cause
            self._loaded_targets.add(target)
        return await first_of(self._end, stop, timeout)

    async def _send(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
            if sent < len(data):
                await self._loop.sock_sendall(self._socket, data[sent:])
        except BlockingIOError:
            await self._loop.sock_sendall(self._socket, data)
        except OSError:
            return  # it has just died; `_note_exit` ends the call

    async def _stop(self, cause: Cause, grace_s: float) -> None:
        self.is_spent = True
        await self._tree.stop(0 if cause is StopReason.LEASE_LOST else grace_s)
        if not self._exited.done():
            await asyncio.wait([self._exited], timeout=UNKILLABLE_S)

    def _finish_call(self) -> None:
        # All that the function has printed is in the pipes by now: the host flushes before it
        # replies. What comes later is of threads or processes it left, and of no job.
        self._switch_output(None)
        if self._progress is not None:
            self._progress.close()
        self._progress, self._loading, self._end = None, None, None
        self._settings.processes.assign(self._tree, NO_JOB)

    def _switch_output(self, output: Output | None) -> None:
        for pipe in self._pipes:
            pipe.drain()
            pipe.switch(output)

    def _outcome(self, end: End | None, duration: timedelta, output: Output) -> Outcome:
        if end is None:
            error = JobError(type="lost", message=f"its function host {self.death}")
            return Outcome(Ended.FAILED, duration, error=error, reason=Reason.LOST)
        if isinstance(end, Returned):
            return Outcome(Ended.COMPLETED, duration, end.result)
        return Outcome(
            Ended.FAILED,
            duration,
            error=masked_error(end.error, output),
            reason=end.reason,
            exceptions=end.exceptions,
        )

    def _on_readable(self) -> None:
        if self._read() == b"":
            self._loop.remove_reader(self._socket)

    def _read(self) -> bytes | None:
        """Take what has come; empty at the end, None when nothing is there now."""
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        for body in self._frames.feed(data):
            self._take(decode_reply(body))
        return data

    def _take(self, reply: Reply) -> None:
        match reply:
            case Ready():
                self.is_ready = True
                self._on_change(self)
            case Loaded():
                _settle(self._loading)
            case Progress(value):
                if self._progress is not None:
                    self._progress.report(value)
            case _:
                if self._end is not None and not self._end.done():
                    self._end.set_result(reply)
                _settle(self._loading)

    def _note_exit(self, code: int) -> None:
        self._tree.note_leader_reaped()
        while self._read():
            pass  # a reply that was sent just before
        self.is_spent = True
        self._exit_code = code
        if self._end is not None and not self._end.done():
            self._end.set_result(None)
        _settle(self._loading)
        _settle(self._exited)
        self._tree.kill()  # children that it left
        self._settings.processes.remove(self._tree)
        self._close()
        self._on_change(self)

    def _close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for pipe in self._pipes:
            pipe.drain()
            pipe.close()


def _settle(future: "asyncio.Future[None] | None") -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _call_of(attempt: Attempt, target: str) -> Call:
    return Call(
        target=target,
        arguments=attempt.arguments,
        args=attempt.args,
        labels=attempt.labels,
        job_id=attempt.job_id,
        task=attempt.task_name,
        attempt=attempt.number,
        fence=attempt.fence,
        queue=attempt.queue,
        fire_time=None if attempt.fire_time is None else to_ms(attempt.fire_time),
    )
