"""A started command: its process, its tree and its pipes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from jobrunner.log import EventLog
from jobrunner.model import LeftProcess, Usage
from jobrunner.runner.confine import Confined, confine
from jobrunner.runner.exits import on_exit
from jobrunner.runner.failures import CannotStart
from jobrunner.runner.keeper import CommandEnd, Keeper
from jobrunner.runner.openfiles import OpenFiles
from jobrunner.runner.output import Output
from jobrunner.runner.pipes import PipeReader
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.runner.proctable import LONGEST_NAME, name_of
from jobrunner.runner.programs import Programs
from jobrunner.runner.readiness import Readers
from jobrunner.runner.spawn import Launch, spawn
from jobrunner.store.logs import Stream

DRAIN_S = 1.0  # for the end of the pipes, once the tree is gone
JOB_VARIABLE = "JOBRUNNER_JOB_ID"
MOST_NAMED = 20  # processes in one line of the log
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
        self.refused: CannotStart | None = None  # why it did not even begin, if that came late
        self.usage: Usage | None = None  # once it has exited, and is closed
        self.reached: list[str] = []  # limits of the whole job, once it is closed
        self.left: list[LeftProcess] = []  # what had to be stopped after its exit
        self._job_id = job_id
        self._output = output
        self._keeper: Keeper | None = None
        self._readers = surroundings.readers
        self._processes = surroundings.processes
        self._siblings = surroundings.children
        self._exited: asyncio.Future[None] | None = None
        self._pipes: list[PipeReader] = []
        confined = confine(launch, job_id, self._processes.groups)
        self.group = confined.group
        try:
            for stream in (Stream.STDOUT, Stream.STDERR):
                self._pipes.append(PipeReader(stream, output))
            pid = self._start(confined, surroundings.programs)
        except BaseException:
            self._close_pipes()
            if self.group is not None:
                self.group.remove()
            raise
        marker = f"{JOB_VARIABLE}={job_id}"
        self.tree = self._processes.add(pid, job_id, marker, held=confined.held)
        self._siblings.add(self)

    def _start(self, confined: Confined, programs: Programs) -> int:
        outputs = [pipe.write_end for pipe in self._pipes]
        if not confined.is_kept:
            return spawn(confined.launch, programs, *outputs)
        variables = {**self._processes.variables, JOB_VARIABLE: self._job_id}
        self._keeper = Keeper(confined.launch, variables, *outputs)
        return self._keeper.pid

    def descriptors(self) -> list[int]:
        """What is open here for it."""
        own = [] if self._keeper is None else self._keeper.descriptors()
        return own + [end for pipe in self._pipes for end in pipe.descriptors()]

    def watch(self, on_exited: Callable[[], None]) -> None:
        """Read its output from now on, and tell of its exit, in the loop."""

        def note_end(end: CommandEnd) -> None:
            self.exit_code, self.usage, self.refused = end.code, end.usage, end.refused
            if self._exited is not None:
                self._exited.set_result(None)
            on_exited()

        def note_exit(code: int, usage: Usage | None) -> None:
            self.tree.note_leader_reaped()
            note_end(CommandEnd(code, usage))

        if self._keeper is None:
            on_exit(self._readers, self.tree.leader, note_exit)
        else:
            self._keeper.watch(self._readers, note_end, self.tree.note_leader_reaped)
        for pipe in self._pipes:
            pipe.start(self._readers)

    def has_ended(self) -> bool:
        """Whether it has exited, left no process, and its output is read to the end."""
        return self.exit_code is not None and not self.tree.is_alive() and not self._open_pipes()

    async def end(self, grace_s: float, *, is_stopped: bool) -> None:
        """Stop what still runs and read the last output; for at most a second each."""
        left = {} if self.exit_code is None else {p: self._name_of(p) for p in self.tree.members()}
        if is_stopped or left or self.tree.is_alive():
            survivors = {
                pid: left.get(pid) or self._name_of(pid) for pid in await self.tree.stop(grace_s)
            }
            self._note_left(left, survivors)
        if self.exit_code is None:
            self._exited = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._exited], timeout=UNKILLABLE_S)
        await self._drain()

    def _name_of(self, pid: int) -> str:
        """The job chose it, so it may be a secret of the job."""
        return self._output.masker.mask_name(name_of(pid), LONGEST_NAME)

    def _note_left(self, left: dict[int, str], survivors: dict[int, str]) -> None:
        """Put it on record; processes of a command that was stopped are not left behind."""
        found = left | survivors
        self.left = [LeftProcess(pid, found[pid], pid not in survivors) for pid in sorted(found)]
        names = " ".join(f"{each.name}({each.pid})" for each in self.left[:MOST_NAMED])
        if survivors:
            EventLog().error(
                "could not kill processes of a job", job_id=self._job_id, processes=names
            )
        elif left:
            EventLog().warning(
                "stopped processes that a job had left", job_id=self._job_id, processes=names
            )

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
        if self._keeper is not None:
            self._keeper.release()
        if self.group is not None:
            self.usage = self.group.usage(self.usage)
            self.reached = self.group.reached()
            self.group.remove()

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.close()
