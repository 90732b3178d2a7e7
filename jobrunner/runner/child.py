"""A started command: its process, its tree and its pipes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from jobrunner.log import EventLog
from jobrunner.runner.exits import on_exit
from jobrunner.runner.openfiles import OpenFiles
from jobrunner.runner.output import Output
from jobrunner.runner.pipes import PipeReader
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.runner.programs import Programs
from jobrunner.runner.readiness import Readers
from jobrunner.runner.spawn import Launch, spawn
from jobrunner.store.logs import Stream

DRAIN_S = 1.0  # for the end of the pipes, once the tree is gone
UNKILLABLE_S = 1.0  # for a leader that KILL did not end: it hangs in the kernel


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all children of a worker share."""

    processes: ProcessRegistry
    readers: Readers
    programs: Programs = field(default_factory=Programs)
    open_files: OpenFiles | None = None
    children: "set[Child]" = field(default_factory=set)  # those not yet closed


class Child:
    """Belongs to the worker's loop.

    Our write ends of its pipes stay open until it has exited: so a silent command wakes the loop
    once, by its exit, and not by the end of each pipe as well.
    """

    def __init__(
        self, launch: Launch, output: Output, job_id: str, surroundings: Surroundings
    ) -> None:
        """Start it; raises CannotStart."""
        self.exit_code: int | None = None  # once it has exited
        self._readers = surroundings.readers
        self._processes = surroundings.processes
        self._siblings = surroundings.children
        self._exited: asyncio.Future[None] | None = None
        self._pipes: list[PipeReader] = []
        try:
            for stream in (Stream.STDOUT, Stream.STDERR):
                self._pipes.append(PipeReader(stream, output))
            pid = spawn(launch, surroundings.programs, *(pipe.write_end for pipe in self._pipes))
        except BaseException:
            self._close_pipes()
            raise
        self.tree = self._processes.add(pid, job_id, f"JOBRUNNER_JOB_ID={job_id}")
        self._siblings.add(self)

    def descriptors(self) -> list[int]:
        """The ends of its pipes that are open here."""
        return [end for pipe in self._pipes for end in pipe.descriptors()]

    def watch(self, on_exited: Callable[[], None]) -> None:
        """Read its output from now on, and tell of its exit, in the loop."""

        def note_exit(code: int) -> None:
            self.tree.note_leader_reaped()
            self.exit_code = code
            if self._exited is not None:
                self._exited.set_result(None)
            on_exited()

        on_exit(self._readers, self.tree.leader, note_exit)
        for pipe in self._pipes:
            pipe.start(self._readers)

    def has_ended(self) -> bool:
        """Whether it has exited, left no process, and its output is read to the end."""
        return self.exit_code is not None and not self.tree.is_alive() and not self._open_pipes()

    async def end(self, grace_s: float, *, is_stopped: bool) -> None:
        """Stop what still runs and read the last output; for at most a second each."""
        if is_stopped or self.tree.is_alive():
            await self.tree.stop(grace_s)
        if self.exit_code is None:
            self._exited = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._exited], timeout=UNKILLABLE_S)
        await self._drain()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        ends = [pipe.end(loop) for pipe in self._open_pipes()]
        if not ends:
            return
        _, pending = await asyncio.wait(ends, timeout=DRAIN_S)
        if pending:
            EventLog().warning(
                "stopped reading output that a process out of reach holds open",
                group=self.tree.leader,
            )

    def _open_pipes(self) -> list[PipeReader]:
        """Those that others hold open, when all that is there now was read."""
        for pipe in self._pipes:
            pipe.release()
        return [pipe for pipe in self._pipes if not pipe.drain()]

    def close(self) -> None:
        """Forget it; who still writes gets SIGPIPE. It is reaped when it exits."""
        self._processes.remove(self.tree)
        self._siblings.discard(self)
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.close()
