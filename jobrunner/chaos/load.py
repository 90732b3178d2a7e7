"""The clients of a round: they submit, cancel, retry and delete jobs for as long as it lasts."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from jobrunner.chaos.history import Recorder
from jobrunner.chaos.tasks import Kind
from jobrunner.client.request import JobRequest
from jobrunner.client.sync import Client
from jobrunner.errors import IllegalTransition, JobNotFound, JobrunnerError, StoreUnavailable
from jobrunner.store.address import StoreAddress

AGAIN_S = 0.1  # after the store was away
RECENT = 40  # jobs of a client that it may ask something for


@dataclass(frozen=True, slots=True)
class Habits:
    """How the clients behave; shares are of all that a client does.

    `per_s` is what all clients do in a second; `bulk` jobs come with each bulk submit.
    """

    clients: int = 2
    per_s: float = 60.0
    bulk: int = 50
    bulks: float = 0.05
    cancels: float = 0.05
    retries: float = 0.03
    deletes: float = 0.01
    delayed: float = 0.15
    after: float = 0.1


class Load:
    """Seeded clients, each in a thread. `acknowledged` has the jobs whose submit returned."""

    def __init__(
        self,
        address: StoreAddress,
        tasks: Mapping[str, Kind],
        recorder: Recorder,
        seed: int,
        habits: Habits | None = None,
    ) -> None:
        self.acknowledged: dict[str, str] = {}
        self.problems: list[str] = []  # what no client should have been told
        self._address = address
        self._tasks = dict(tasks)
        self._recorder = recorder
        self._habits = habits or Habits()
        self._stopping = threading.Event()
        self._clients = [
            threading.Thread(target=self._run, args=[random.Random(f"{seed}/{number}")])
            for number in range(self._habits.clients)
        ]

    def start(self) -> None:
        for client in self._clients:
            client.start()

    def stop(self) -> None:
        """Return when no client does anything any more."""
        self._stopping.set()
        for client in self._clients:
            if client.is_alive():
                client.join()

    def _run(self, rng: random.Random) -> None:
        pause_s = self._habits.clients / self._habits.per_s
        address = self._address
        with Client(address.name, address.url, socket=address.socket) as client:
            recent: list[str] = []
            while not self._stopping.wait(rng.expovariate(1 / pause_s)):
                try:
                    self._do_something(client, rng, recent)
                except StoreUnavailable:
                    self._stopping.wait(AGAIN_S)
                except JobrunnerError as error:
                    self.problems.append(repr(error))

    def _do_something(self, client: Client, rng: random.Random, recent: list[str]) -> None:
        habits = self._habits
        dice = rng.random()
        for share, ask in (
            (habits.cancels, "cancel"),
            (habits.retries, "retry"),
            (habits.deletes, "delete"),
        ):
            dice -= share
            if dice < 0 and recent:
                return self._ask(client, ask, rng.choice(recent))
        if dice < habits.bulks:
            requests = [JobRequest("quick") for _ in range(habits.bulk)]
        else:
            requests = [self._request(rng, recent)]
        self._submit(client, requests)
        recent.extend(request.id for request in requests)
        del recent[:-RECENT]
        return None

    def _ask(self, client: Client, what: str, job_id: str) -> None:
        self._recorder.asked(what, job_id)
        ask: dict[str, Callable[[str], object]] = {
            "cancel": client.cancel,
            "retry": client.retry,
            "delete": client.delete,
        }
        with suppress(IllegalTransition, JobNotFound):  # it had ended, or not yet, or is deleted
            ask[what](job_id)

    def _request(self, rng: random.Random, recent: list[str]) -> JobRequest:
        names = list(self._tasks)
        [task] = rng.choices(names, [self._tasks[name].weight for name in names])
        kind = self._tasks[task]
        # Short ones more often, as in life.
        ms = kind.shortest + int((kind.longest - kind.shortest) * rng.random() ** 2)
        params: dict[str, int] = {"ms": ms} if kind.takes_ms else {}
        if task == "flaky":
            params["good"] = rng.randint(1, 5)
        dice = rng.random()
        delay = round(rng.uniform(0.05, 3), 3) if dice < self._habits.delayed else None
        follows = recent and 0 < dice - self._habits.delayed < self._habits.after
        return JobRequest(
            task,
            params,
            delay=delay,
            after=recent[-1] if follows else None,
            priority=rng.choice([None, None, None, "high", "low"]),
        )

    def _submit(self, client: Client, requests: list[JobRequest]) -> None:
        """Repeat until it is acknowledged: the ids make that safe."""
        while True:
            try:
                client.submit_batch(requests)
            except StoreUnavailable:
                if self._stopping.is_set():
                    return
                time.sleep(AGAIN_S)
            except JobNotFound:
                return  # the job it was to follow has been deleted
            else:
                self.acknowledged.update({request.id: request.task for request in requests})
                return
