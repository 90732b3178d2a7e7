"""Drives the store and the model by the same requests, and compares them after each.

An operation is a generator of requests. An `Actor` performs it one round trip at a time, so that it
can be left between any two of them: to go on later, or never, as after a crash.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from jobrunner.errors import IllegalTransition, JobNotFound
from jobrunner.store.requests import Command, Operation, Pipeline, Script, Series, Single
from jobrunner.store.subscription import BlockingSubscription
from tests.model.clocked import ClockedStore
from tests.model.ledger import Ledger
from tests.model.scripts import UNJUDGED, apply, is_read
from tests.model.state import Model

START_MS = 1_900_000_000_000


@dataclass(slots=True)
class Driver:
    """The store, its model, the history, and how often each script gave each kind of reply."""

    store: ClockedStore
    seen: Counter[tuple[str, str]]
    messages: BlockingSubscription
    model: Model = field(default_factory=lambda: Model(START_MS))
    ledger: Ledger = field(default_factory=Ledger)
    is_broken: bool = False  # a difference was found

    def pass_time(self, milliseconds: int) -> None:
        self.model.now += milliseconds
        self.store.set_clock(self.model.now)

    def perform(self, request: Single) -> Any:
        """One round trip on both sides; the replies and all that is stored must be the same."""
        self.is_broken = True
        self.model.published.clear()
        reply = self.store.execute(request)
        expected = apply(self.model, request)
        self._compare_replies(request, reply, expected)
        if _may_write(request):
            self._compare_messages()
            self._compare_stores(request)
            self.ledger.check(self.model)
        self.is_broken = False
        return reply

    def _compare_replies(self, request: Single, reply: Any, expected: Any) -> None:
        if isinstance(request, Pipeline):
            for one, got, wanted in zip(request.requests, reply, expected, strict=True):
                self._compare_replies(one, got, wanted)
        elif isinstance(request, Script) and expected is UNJUDGED:
            self.seen[request.name, "done"] += 1
        elif isinstance(request, Script):
            got, wanted = _plain(reply), _plain(expected)
            if request.name == "renew":
                got[2].sort()
            if request.name in ("finish", "settle"):
                # A set has no order: who waits for the same job is woken in any.
                got, wanted = _sorted_last(got), _sorted_last(wanted)
            assert got == wanted, f"{request}: replied {got}, expected {wanted}"
            for label in _labels(request.name, got):
                self.seen[request.name, label] += 1

    def _compare_messages(self) -> None:
        self.store.connection.execute(Command(("PUBLISH", END_CHANNEL, END)))
        got = []
        while (push := self.messages.next_message(5)) != END:
            assert push is not None, "the server answers no more"
            got.append(push.decode())
        wanted = [payload for _, payload in self.model.published]
        assert sorted(got) == sorted(wanted), f"published {got}, expected {wanted}"

    def _compare_stores(self, request: Single) -> None:
        dump = self.store.dump()
        assert dump.ghosts == [], f"claimed, but not in a queue after {request}: {dump.ghosts}"
        self._compare_streams(request, dump.streams)
        wanted = self.model.view()
        if dump.values != wanted:
            keys = sorted(dump.values.keys() | wanted.keys())
            rows = [(key, dump.values.get(key), wanted.get(key)) for key in keys]
            text = "\n".join(f"{key}: {got} != {want}" for key, got, want in rows if got != want)
            raise AssertionError(f"after {request}\nstore != model\n{text}")

    def _compare_streams(self, request: Single, streams: dict[str, list[Any]]) -> None:
        places = {f"queue:{queue}:{level}" for queue, level in self.model.streams}
        assert streams.keys() == places, f"after {request}"
        for (queue, level), expected in self.model.streams.items():
            stored = streams[f"queue:{queue}:{level}"]
            got = [(entry.fields, entry.holder) for entry in stored]
            assert got == [(entry.fields, entry.holder) for entry in expected], f"after {request}"
            for theirs, ours in zip(stored, expected, strict=True):
                assert ours.entry_id in ("", theirs.entry_id), "an entry has got another id"
                ours.entry_id = theirs.entry_id


END = b"end of messages"
END_CHANNEL = "end"


def _may_write(request: Single) -> bool:
    if isinstance(request, Pipeline):
        return any(_may_write(one) for one in request.requests)
    return isinstance(request, Script) or not is_read(str(request.args[0]))


def _plain(reply: Any) -> Any:
    if isinstance(reply, list | tuple):
        return [_plain(item) for item in reply]
    if isinstance(reply, bytes):
        return reply.decode()
    return None if reply is None else str(reply)


def _sorted_last(reply: Any) -> Any:
    return [*reply[:-1], sorted(reply[-1])] if isinstance(reply[-1], list) else reply


def _label_of_submit(reply: str | list[str]) -> str:
    if isinstance(reply, str):
        return reply
    return "no_upstream" if reply[1] == "no_upstream" else "repeated"


def _labels(name: str, reply: Any) -> list[str]:
    """What the reply says, by one word per job where there are several."""
    match name:
        case "submit":
            return [_label_of_submit(one) for one in reply]
        case "start":
            return [what for what, _ in reply]
        case "finish":
            return [state or "refused" for state in reply[0]]
        case "claim":
            return ["buried" if reply is None else "some" if reply else "none"]
        case "renew":
            return ["alive" if reply[0] == "1" else "buried", *(["lock lost"] * len(reply[1]))]
        case "fire":
            return [what for what, *_ in reply]
        case "settle":
            return [reply[0]]
        case "wake":
            return ["woken" if reply else "nobody"]
        case "orphans":
            return ["some" if reply else "none"]
        case "enlist" | "enrol" | "group" | "know" | "place" | "unrenewed":
            return ["done"]
    return reply if isinstance(reply, list) else [reply or "gone"]


@dataclass(slots=True)
class Actor:
    """A client, worker, scheduler or rescuer in the middle of an operation.

    A reply is handed in with the next step: who is dropped before has lost it.
    """

    operation: Operation[Any]
    reply: Any = None
    is_done: bool = False

    def step(self, driver: Driver) -> None:
        """Take up the last reply, and perform the next request if there is one."""
        try:
            request = self.operation.send(self.reply)
            assert not isinstance(request, Series), "an example has fewer jobs than a series"
            self.reply = driver.perform(request)
        except StopIteration:
            self.is_done = True
        except (JobNotFound, IllegalTransition):
            self.is_done = True

    def run(self, driver: Driver, most: int | None = None) -> bool:
        """Perform at most so many requests, or all; whether it came to the end."""
        steps = 0
        while not self.is_done and (most is None or steps < most):
            self.step(driver)
            steps += 1
        return self.is_done
