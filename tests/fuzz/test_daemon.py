"""A running daemon whose store something else writes to: it lives, others go on, doctor mends."""

import json
import time
from collections.abc import Iterator, Sequence

import pytest

from jobrunner.errors import ExitCode
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command
from tests.daemon.harness import Project, eventually
from tests.fuzz.extent import is_full
from tests.fuzz.hostile import ARGUMENTS, NO_KEYS, Damage, damages, family_of, key_of, methods
from tests.unit.cli.conftest import Outcome, make_invoke

MANIFEST = """
workers: {processes: 1}
tasks:
  ok: {command: ["true"]}
  victim: {command: ["true"], queue: other}
  locked: {command: ["true"], lock: {name: mine, ttl: 10s, conflict: wait}}
crons:
  beat: {task: ok, every: 1s}
  victim: {task: victim, every: 1s}
"""
READING = (
    *("status", "list", "list --task victim", "stats", "locks", "queues", "workers", "crons"),
    *("why beat", "why victim", "why ok", "show @last", "show victim1", "logs victim1"),
)
WITHIN_S = 20.0  # a rescuer's tick is 5 s, a look for room 15 s
ANSWER_WITHIN_S = 6.0
# In a sample so many keys are damaged at once; in a full run each by itself.
AT_ONCE = 7


class Site:
    """The project, and what is asked of it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.daemon = project.start()
        self.workers = 0

    def inflict(self, some: Sequence[Damage]) -> None:
        self.workers = self.daemon.log().count("INFO started worker")
        for damage in some:
            for args in damage.commands:
                self.project.store.execute(Command(args))

    def invoke(self, line: str) -> Outcome:
        began_at = time.monotonic()
        outcome = make_invoke(self.project.folder)(*line.split(), environ=self.project.environ)
        took_s = time.monotonic() - began_at
        assert "Traceback" not in outcome.stderr, (line, outcome.stderr)
        assert outcome.code in set(ExitCode), line
        assert took_s < ANSWER_WITHIN_S, (line, took_s)
        return outcome

    def can_submit(self) -> bool:
        """The store does not say that it is full, and says what tasks there are."""
        keys = self.project.keys
        is_full = self.project.execute("EXISTS", keys.full())
        is_hash = self.project.execute("TYPE", keys.manifest()) == b"hash"
        return is_hash and not is_full and bool(self.project.execute("HLEN", keys.manifest()))

    def goes_on(self) -> None:
        """Other crons fire, other jobs run, and nobody had to be started again."""
        eventually(self.can_submit, WITHIN_S)
        before = self.project.execute("HGET", self.project.keys.cron("beat"), "handled")
        job_ids = [self.project.submit("ok"), self.project.submit("locked")]

        def has_fired() -> bool:
            found = self.project.execute("HGET", self.project.keys.cron("beat"), "handled")
            return bool(found and before and int(found) > int(before))

        eventually(has_fired, WITHIN_S)
        for job in self.project.all_ended(job_ids, WITHIN_S):
            assert str(job.state) == "completed", job
        assert self.daemon.process.poll() is None, self.daemon.log()
        started = self.daemon.log().count("INFO started worker")
        assert started == self.workers, "a worker ended"
        assert "Traceback" not in self.daemon.log()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Project(MANIFEST) as project:
        opened = Site(project)
        eventually(lambda: "INFO started worker" in opened.daemon.log(), 20)
        yield opened
        assert opened.daemon.stop() == 0


def portions() -> list[list[Damage]]:
    """Of the keys of a namespace that every project of this file has."""
    found = list(damages(Keys("jr")))
    if is_full():
        return [[damage] for damage in found]
    wrong = [damage for damage in found if damage.what == "wrong type"]
    rest = [damage for damage in found if damage.what != "wrong type"]
    sample = [damage for damage in rest if damage.method != "full"][::9]  # of each kind some
    # What says that the store is full stops all that is new until a daemon looks, 15 s later.
    return [
        kind[start : start + AT_ONCE]
        for kind in ([d for d in wrong if d.method != "full"], sample)
        for start in range(0, len(kind), AT_ONCE)
    ]


def renamed(some: Sequence[Damage], keys: Keys) -> list[Damage]:
    """The same damages to these keys."""
    wanted = {(damage.method, damage.what) for damage in some}
    return [damage for damage in damages(keys) if (damage.method, damage.what) in wanted]


def test_every_kind_of_key_is_tried() -> None:
    keys = Keys("jr")

    assert {family_of(keys, method) for method in methods()} != set()
    assert set(ARGUMENTS) <= methods()
    assert not NO_KEYS & methods()
    assert {damage.method for damage in damages(keys)} == methods()


@pytest.mark.parametrize(
    "some", portions(), ids=lambda some: ",".join(f"{d.method}:{d.what}" for d in some)[:60]
)
def test_a_damaged_key_costs_what_depends_on_it_and_is_named_and_mended(
    site: Site, some: list[Damage]
) -> None:
    keys = site.project.keys
    site.inflict(renamed(some, keys))

    for line in READING:
        site.invoke(line)
    site.goes_on()
    named = {orphan["key"] for orphan in orphans_of(site)}
    strange = {
        key_of(keys, damage.method)
        for damage in some
        if damage.what == "wrong type" and is_strange(site, damage)
    }
    assert strange <= named
    site.invoke("doctor --repair --yes")

    eventually(lambda: is_clean(site), WITHIN_S)
    site.goes_on()


@pytest.mark.parametrize("method", ["daemons", "daemon", "manifest"])
def test_what_only_a_daemon_knows_is_there_again_when_doctor_has_mended(
    site: Site, method: str
) -> None:
    keys = site.project.keys
    [daemon] = site.project.execute("ZRANGE", keys.daemons(), "0", "-1")
    key = keys.daemon(daemon.decode()) if method == "daemon" else getattr(keys, method)()
    for args in (("DEL", key), ("SET", key, "x")):
        site.project.store.execute(Command(args))

    assert "not running" not in site.invoke("status").stdout
    first = site.invoke("doctor --repair --yes")
    second = site.invoke("doctor --repair --yes")

    assert first.code == 0, first.stdout
    assert (second.code, second.stderr.strip()) == (0, "nothing is orphaned or damaged")
    assert "daemon running" in site.invoke("status").stdout
    assert site.project.execute("HLEN", keys.manifest())


def is_strange(site: Site, damage: Damage) -> bool:
    """Whether nobody has mended it meanwhile: some keys are written anew all the time."""
    wrong = "list" if damage.method in ("tokens", "unique", "full") else "string"
    key = key_of(site.project.keys, damage.method)
    return bool(site.project.execute("TYPE", key) == wrong.encode())


def is_clean(site: Site) -> bool:
    """A second look finds nothing; what is under way is looked at again."""
    return not orphans_of(site)


def orphans_of(site: Site) -> list[dict[str, str]]:
    outcome = site.invoke("doctor --json")
    assert outcome.stdout, outcome.stderr
    found: list[dict[str, str]] = json.loads(outcome.stdout)["orphans"]
    return found
