"""`jobrunner why` of crons, tasks and fire times; what it finds, and what it does not."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from jobrunner.clock import from_ms, rfc3339, to_ms
from jobrunner.model import JobState, Reason
from jobrunner.store.address import StoreAddress
from jobrunner.store.crons import Enrolment, enrol, fire, note_next_fires, pause_cron
from jobrunner.store.published import PublishedCron
from tests.store.cli.explaining import NIGHTLY, answer, answers, serve, timeless
from tests.store.factories import A_WAITED_LOCK, Store
from tests.store.fires import ID_ONE, ID_TWO, ONE, TWO, a_fire
from tests.unit.cli.conftest import Invoke

HOUR_MS = 3_600_000


@pytest.fixture
def store(store: Store) -> Store:
    """A namespace with a daemon, a worker and a cron of task `demo` that fires in an hour."""
    serve(store, NIGHTLY)
    note_next(store, HOUR_MS)
    return store


def note_next(store: Store, in_ms: int) -> None:
    at = from_ms(store.now_ms() + in_ms)
    store.run(enrol(store.keys, [Enrolment("nightly", "0 2 * * *")]))
    store.command("HSET", store.keys.cron("nightly"), "handled", to_ms(ONE.replace(hour=0)))
    store.run(note_next_fires(store.keys, {"nightly": at}))


def test_a_cron_tells_when_it_fires_next(invoke: Invoke, store: Store) -> None:
    said = answer(invoke, "nightly")

    assert (said.code, said.exit_code) == ("fires", 0)
    assert said.sentence == (
        "cron 'nightly' (task demo) fires next at T, in D (daily at 02:00 Europe/Berlin); "
        "it has not fired yet"
    )
    assert said.facts["timezone"] == "Europe/Berlin"
    assert said.facts["last_handled"] == "2026-11-21T00:00:00Z"


def test_a_cron_tells_how_its_last_job_ended(invoke: Invoke, store: Store) -> None:
    store.run(fire(store.keys, [a_fire(ONE)]))
    [entry] = store.claim()
    store.finish(entry, JobState.FAILED, reason=Reason.TIMEOUT, cron="nightly")

    said = answer(invoke, "nightly")

    assert said.sentence.endswith(f"; its last job, {ID_ONE}, failed (timeout) at T")
    assert (said.facts["made_last"], said.facts["ended_last"]) == (ID_ONE, ID_ONE)


def test_a_cron_tells_of_its_last_skip(invoke: Invoke, store: Store) -> None:
    store.run(fire(store.keys, [a_fire(ONE)]))
    store.run(fire(store.keys, [a_fire(TWO, overlap="skip", previous=ID_ONE)]))

    said = answer(invoke, "nightly")

    assert f"; its last fire time was skipped at T (overlap: {ID_ONE}); " in said.sentence
    assert (said.facts["last_skip"], said.facts["last_skip_reason"]) == (ID_TWO, "overlap")
    assert said.facts["waiting"] == [ID_ONE]


def test_a_cron_tells_what_its_oldest_waiting_job_waits_for(invoke: Invoke, store: Store) -> None:
    holder = store.running(lock=A_WAITED_LOCK).job_id
    store.run(fire(store.keys, [a_fire(ONE)]))
    [entry] = store.claim()
    store.start(entry, lock=A_WAITED_LOCK)

    said = answer(invoke, "nightly")

    assert said.sentence.endswith(
        f"job {ID_ONE} (demo) waits for lock 'report', held by {holder} since T (demo on host); "
        "it is first in line"
    )


def test_a_cron_tells_of_the_job_that_runs(invoke: Invoke, store: Store) -> None:
    store.run(fire(store.keys, [a_fire(ONE)]))
    [entry] = store.claim()
    store.start(entry)

    said = answer(invoke, "nightly")

    assert said.sentence.endswith(f"; job {ID_ONE} is running")
    assert said.facts["running"] == [ID_ONE]


def test_a_paused_cron_says_so(invoke: Invoke, store: Store) -> None:
    store.run(pause_cron(store.keys, "nightly"))

    said = answer(invoke, "nightly")

    assert said.code == "paused"
    assert said.sentence.startswith(
        "cron 'nightly' (task demo) is paused: its fire times make no jobs until it is resumed"
    )
    assert said.fix == "`jobrunner resume nightly` lets it fire"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"is_enabled": False}, "disabled", "is disabled: its manifest says `enabled: false`"),
        ({"schedule": "@reboot"}, "fires_at_boot", "fires once after each boot of a machine"),
    ],
)
def test_a_cron_without_fire_times_says_why(
    invoke: Invoke, store: Store, changes: dict[str, object], code: str, words: str
) -> None:
    serve(store, msgspec.structs.replace(NIGHTLY, **changes))

    said = answer(invoke, "nightly")

    assert said.code == code
    assert words in said.sentence


def test_a_cron_that_never_fires_says_so(invoke: Invoke, store: Store) -> None:
    store.run(note_next_fires(store.keys, {"nightly": None}))

    said = answer(invoke, "nightly")

    assert said.code == "never_fires"
    assert "has no fire time to come" in said.sentence


def test_a_fire_time_that_nobody_handled_is_late(invoke: Invoke, store: Store) -> None:
    note_next(store, -60_000)

    said = answer(invoke, "nightly")

    assert said.code == "fire_late"
    assert "was to fire at T, D ago, and was not handled yet" in said.sentence


def test_a_cron_without_a_daemon_does_not_fire_and_exits_4(invoke: Invoke, store: Store) -> None:
    store.command("DEL", store.keys.daemon("d1"))

    said = answer(invoke, "nightly")

    assert (said.code, said.exit_code) == ("daemon_not_running", 4)
    assert "but no daemon is running, so nothing fires or starts" in said.sentence


def test_a_task_that_never_had_a_job_says_so(invoke: Invoke, store: Store) -> None:
    said = answer(invoke, "other")

    assert (said.code, said.sentence) == ("never_submitted", "task 'other' has never had a job")
    assert said.fix == "`jobrunner submit other` submits one"


def test_a_task_tells_its_counts_and_what_the_oldest_waits_for(
    invoke: Invoke, store: Store
) -> None:
    holder = store.running(lock=A_WAITED_LOCK).job_id
    oldest = store.blocked()
    store.submit()

    said = answer(invoke, "demo")

    assert said.code == "running"
    assert said.sentence == (
        "task 'demo' has 1 running, 1 queued and 1 blocked jobs; the oldest that waits: "
        f"job {oldest} (demo) waits for lock 'report', held by {holder} since T (demo on host); "
        "it is first in line"
    )
    assert (said.facts["queued"], said.facts["oldest_waiting_code"]) == (1, "waiting_for_lock")


def test_an_idle_task_tells_its_last_result(invoke: Invoke, store: Store) -> None:
    job_id = store.finished(JobState.COMPLETED)

    said = answer(invoke, "demo")

    assert said.code == "idle"
    assert said.sentence == (
        f"task 'demo' has no job that waits or runs; its last job, {job_id}, completed at T"
    )


def test_a_task_with_jobs_but_no_daemon_exits_4(invoke: Invoke, store: Store) -> None:
    store.submit()
    store.command("DEL", store.keys.daemon("d1"))

    said = answer(invoke, "demo")

    assert (said.code, said.exit_code) == ("daemon_not_running", 4)


def test_a_task_that_left_the_manifest_is_known_by_its_jobs(invoke: Invoke, store: Store) -> None:
    store.submit(task="gone")

    said = answer(invoke, "gone")

    assert said.sentence.startswith(
        "task 'gone' is not in the manifest published last; it has 1 queued job; "
    )


def test_a_name_of_a_cron_and_a_task_is_answered_for_both(invoke: Invoke, store: Store) -> None:
    twin = PublishedCron("demo", "demo", "0 2 * * *", "daily at 02:00")
    serve(store, twin)

    both = answers(invoke, "demo")

    assert [said.sentence.partition(" (")[0].split()[0] for said in both] == ["cron", "task"]
    assert invoke("why", "demo").stdout.count("\n\n") == 3


def test_a_fire_time_to_come_is_told(invoke: Invoke, store: Store) -> None:
    said = answer(invoke, "nightly@2099-01-01T01:00:00Z")

    assert said.code == "not_fired_yet"
    assert "fire time nightly@2099-01-01T01:00:00Z is not due until" in said.sentence


def test_a_fire_time_without_a_record_is_told(invoke: Invoke, store: Store) -> None:
    said = answer(invoke, "nightly@2020-01-01T01:00:00Z")

    assert said.code == "no_record"
    assert said.fix == "`jobrunner list --task demo` prints the jobs and skips that are known"


@pytest.mark.parametrize("is_served", [True, False])
def test_a_fire_time_that_was_not_handled_is_told(
    invoke: Invoke, store: Store, is_served: bool
) -> None:
    store.command("HSET", store.keys.cron("nightly"), "handled", store.now_ms() - HOUR_MS)
    if not is_served:
        store.command("DEL", store.keys.daemon("d1"))
    fire_time = rfc3339(from_ms(store.now_ms() - HOUR_MS // 2))

    said = answer(invoke, f"nightly@{fire_time}")

    assert said.code == ("fire_late" if is_served else "daemon_not_running")
    assert "was not handled yet: the last one handled is that of T" in said.sentence


def test_a_job_is_found_by_prefix_and_last(invoke: Invoke, store: Store) -> None:
    job_id = store.submit(id="k3f9x2mq7pab")
    store.run(fire(store.keys, [a_fire(ONE, task="other")]))

    for text in (job_id, "k3f9", "@last:demo"):
        assert f"job {job_id} " in answer(invoke, text).sentence
    assert f"job {ID_ONE} " in answer(invoke, "@last").sentence
    assert f"job {ID_ONE} " in answer(invoke, ID_ONE).sentence


def test_an_unknown_name_is_not_found_and_the_nearest_suggested(
    invoke: Invoke, store: Store
) -> None:
    outcome = invoke("why", "nigthly")

    assert outcome.stderr == (
        "error: no job, cron or task 'nigthly'\n"
        "  why: no record has this id, and no recent one an id that begins so; "
        "the crons and tasks are demo, nightly, other\n"
        "  fix: did you mean 'nightly'?\n"
    )
    assert (outcome.stdout, outcome.code) == ("", 3)


@pytest.mark.parametrize("text", ["@last:other", "nightly@soon", "@"])
def test_what_means_nothing_is_not_found(invoke: Invoke, store: Store, text: str) -> None:
    assert invoke("why", text).code == 3


def test_people_get_the_sentence_the_fix_and_the_facts(invoke: Invoke, store: Store) -> None:
    holder = store.running(lock=A_WAITED_LOCK).job_id
    job_id = store.blocked()

    lines = timeless(invoke("why", job_id).stdout).splitlines()

    assert lines[0].startswith(f"job {job_id} (demo) waits for lock 'report', held by {holder}")
    assert lines[1:3] == [f"  fix: `jobrunner why {holder}` tells how that one goes on", ""]
    assert f"held by        {holder}" in lines
    assert "lease ends at  T UTC (in D)" in lines


@pytest.mark.parametrize("is_json", [True, False])
def test_without_a_server_the_answer_is_that_the_daemon_does_not_run(
    invoke: Invoke, store: Store, tmp_path: Path, is_json: bool
) -> None:
    (tmp_path / "embedded.yaml").write_text("name: shop\n")
    args = ["why", "nightly", "--file", "embedded.yaml", *(["--json"] if is_json else [])]

    outcome = invoke(*args, environ={"JOBRUNNER_STATE": str(tmp_path / "state")})

    text = json.loads(outcome.stdout)[0]["sentence"] if is_json else outcome.stdout
    assert text.startswith(
        "the daemon is not running, so nothing fires or starts, and 'nightly' cannot be looked up"
    )
    assert (outcome.stderr, outcome.code) == ("", 4)


def test_a_server_that_cannot_be_reached_is_named(
    invoke: Invoke, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "gone.yaml").write_text(
        "name: gone\nstore: {url: 'unix:///tmp/jr-there-is-no-such-socket'}\n"
    )

    said = answer(invoke, "nightly", "--file", "gone.yaml")

    assert (said.code, said.exit_code) == ("store_unreachable", 4)
    assert "cannot be reached: nothing listens there, so 'nightly'" in said.sentence


def test_why_loads_nothing_heavy(store: Store, address: StoreAddress, tmp_path: Path) -> None:
    store.submit()
    manifest = tmp_path / "jobs.yaml"
    manifest.write_text(f"name: {address.name}\nstore: {{url: 'unix://{address.socket}'}}\n")
    heavy = ("taskiq", "pydantic", "croniter", "redis", "rich", "uvloop", "asyncio")
    code = (
        "import sys; from jobrunner.cli.app import run; "
        "from jobrunner.cli.context import CliContext; "
        f"codes = [run(['why', name, '--file', {str(manifest)!r}], CliContext()) "
        "for name in ('@last', 'nightly', 'demo')]; "
        f"print(codes, [name for name in {heavy!r} if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[0, 0, 0] []"
