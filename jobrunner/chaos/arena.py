"""Where one round of a scenario plays: daemons, a store, clients, and the history of it all.

    with Arena(setting, seed, address) as arena:
        arena.start()
        …                       # the scenario's faults
        evidence = settle(arena)

With an `address` the store is the user's, and the round has a namespace of its own there, which
is emptied at the end. Without one the arena starts a server, or leaves that to the daemon.
"""

import random
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from jobrunner.chaos.evidence import FireSpan
from jobrunner.chaos.history import Recorder
from jobrunner.chaos.load import Habits, Load
from jobrunner.chaos.site import Place, Site, site_environ, until
from jobrunner.chaos.tasks import NAMESPACE, Declaration, manifest_text
from jobrunner.embedded.server import EmbeddedServer
from jobrunner.errors import StoreUnavailable
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation

T = TypeVar("T")
SERVER_S = 30.0  # until a server that was killed answers again
PAGE = 500  # keys deleted in one step


@dataclass(frozen=True, slots=True)
class Setting:
    """What a scenario asks for. `leases_s` is how short the leases of workers are."""

    declaration: Declaration = field(default_factory=Declaration)
    sites: int = 1
    hosts: Sequence[str] = ()  # names of machines the sites believe to be on
    lease_s: float = 6.0  # a busy machine may hold up a heartbeat for a second or two
    is_embedded: bool = False  # the daemon has its server; else the arena has it
    habits: Habits | None = field(default_factory=Habits)  # None: no clients


@dataclass(slots=True)
class Notes:
    """What a scenario saw by itself, beside the history."""

    problems: list[str] = field(default_factory=list)  # each is a violation
    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # seconds
    counts: Counter[str] = field(default_factory=Counter)  # whatever else the report tells
    fires: list[FireSpan] = field(default_factory=list)  # fire times that the round covers
    may_be_gone: set[str] = field(default_factory=set)  # jobs that a crash of the server lost


class Arena:
    """One round; see the module. `seconds` is how long a scenario shall go on with its faults."""

    def __init__(
        self, setting: Setting, seed: int, seconds: float, address: StoreAddress | None = None
    ) -> None:
        self.setting = setting
        self.seconds = seconds
        self.rng = random.Random(seed)
        self.notes = Notes()
        self.is_kept = False  # the folder, for people to look into
        self._cleanup = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="jr-chaos-"))  # short, for sockets' sake
        self._cleanup.callback(self._remove_folder)
        self.history_path = self.folder / "history"
        self.recorder = Recorder(self.history_path)
        self._cleanup.callback(self.recorder.close)
        self.server: EmbeddedServer | None = None
        self._is_borrowed = address is not None
        self._connection: StoreConnection | None = None
        try:
            self._set_up(seed, address)
        except BaseException:  # an interrupt as well must not leave a server behind
            self._cleanup.close()
            raise

    def _set_up(self, seed: int, address: StoreAddress | None) -> None:
        setting = self.setting
        self.address = address or self._own_store()
        # What daemons are told; a scenario may put a proxy in between before they start.
        self.url: str | None = None if setting.is_embedded else _url(self.address)
        self.keys = Keys(self.address.name)
        self.sites = [self._site(number) for number in range(setting.sites)]
        self.load = self._load(seed)

    def _own_store(self) -> StoreAddress:
        state = self.folder / ("site-0/state" if self.setting.is_embedded else "server")
        state.mkdir(mode=0o700, parents=True)
        server = EmbeddedServer(state, self.setting.declaration.durability)
        self._cleanup.callback(server.stop)
        self.server = server
        server.ensure()
        return server.address(NAMESPACE)

    def _site(self, number: int) -> Site:
        host = self.setting.hosts[number] if self.setting.hosts else ""
        folder = self.folder / f"site-{number}"
        place = Place(folder, self.history_path, self.setting.lease_s, host)
        return Site(place, self.manifest(), site_environ())

    def _load(self, seed: int) -> Load:
        tasks = self.setting.declaration.tasks
        return Load(self.address, tasks, self.recorder, seed, self.setting.habits)

    def manifest(self, declaration: Declaration | None = None) -> str:
        """The text for a site, as the setting says, or another declaration."""
        return manifest_text(declaration or self.setting.declaration, self.url, self.address.name)

    def keep(self, resource: AbstractContextManager[T]) -> T:
        """Enter it, and leave it at the end of the round, once no daemon lives any more."""
        return self._cleanup.enter_context(resource)

    # The round.

    def start(self) -> None:
        """Start the daemons and the clients. Raises Stuck."""
        for site in self.sites:
            site.write(self.manifest())
            site.spawn()
        for site in self.sites:
            site.wait_until_ready()
        if self.setting.habits is not None:
            self.load.start()

    @property
    def site(self) -> Site:
        """The first one."""
        return self.sites[0]

    def moments(self, per_s: float) -> Iterator[None]:
        """Random moments, so many a second on average, until the round's time is over."""
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            time.sleep(self.rng.expovariate(per_s))
            yield

    def server_answers(self) -> None:
        """Wait until the store answers. Raises Stuck."""
        until(self._answers, SERVER_S, "the server answers")

    def _answers(self) -> bool:
        try:
            self.execute("PING")
        except StoreUnavailable:
            return False
        return True

    def ensure(self) -> None:
        """Start what does not live."""
        if self.server is not None and not self.setting.is_embedded:
            self.server.ensure()
        for site in self.sites:
            site.ensure()

    # The store.

    @property
    def connection(self) -> StoreConnection:
        """A connection of the arena's own, past every proxy."""
        if self._connection is None:
            self._connection = StoreConnection(self.address)
            self._cleanup.callback(self._connection.close)
        return self._connection

    def run(self, operation: Operation[T]) -> T:
        return self.connection.run(operation)

    def execute(self, *args: str | int) -> list[bytes]:
        """The reply to one command."""
        reply: list[bytes] = self.connection.execute(Command(args))
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._cleanup, ExitStack() as ending:  # whatever fails, the rest is done as well
            if self._is_borrowed:
                ending.callback(self._empty)
            for site in self.sites:
                ending.callback(site.end)
            ending.callback(self.load.stop)

    def _remove_folder(self) -> None:
        if not self.is_kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _empty(self) -> None:
        """Delete every key of the round's namespace on a store that is not ours."""
        cursor = b"0"
        while True:
            cursor, page = self.connection.execute(
                Command(("SCAN", cursor, "MATCH", self.keys.all(), "COUNT", PAGE))
            )
            if page:
                self.connection.execute(Command(("UNLINK", *page)))
            if cursor == b"0":
                return


def _url(address: StoreAddress) -> str:
    return address.url or f"unix://{address.socket}"
