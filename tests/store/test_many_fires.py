"""`fire.lua` with the fire times of many crons in one call."""

from collections import Counter

from jobrunner.model import Reason
from jobrunner.store.crons import FIRES_PER_CALL, pause_cron, read_crons
from jobrunner.store.lookup import find_id
from jobrunner.store.stats import Query, Window, read_stats
from jobrunner.store.tallies import OVERALL
from tests.store.clients import calls_of
from tests.store.factories import Store
from tests.store.fires import ID_ONE, ONE, TWO, a_fire, send


def test_each_of_many_fire_times_gets_its_own_answer_and_all_are_counted(store: Store) -> None:
    send(store, a_fire(ONE, cron="late"))
    store.run(pause_cron(store.keys, "paused"))
    rows = [a_fire(cron=cron, skip=Reason.MISFIRE, first=ONE) for cron in ("row", "other row")]
    chain = [a_fire(ONE), a_fire(TWO, overlap="queue", previous=ID_ONE)]
    refused = [a_fire(cron="paused"), a_fire(TWO, cron="late"), a_fire(ONE, cron="late")]
    others = [a_fire(cron=f"cron-{number}", queue="web") for number in range(FIRES_PER_CALL)]

    whats = send(store, *rows, *chain, *refused, *others, rows[0])

    assert whats == [
        *("skipped", "skipped", "queued", "blocked", "paused", "changed", "handled"),
        *["queued"] * FIRES_PER_CALL,
        "handled",
    ]
    assert store.run(find_id(store.keys, "@last")) == others[-1].job_id
    assert set(store.texts("SMEMBERS", store.keys.queues())) == {"default", "web"}
    counts = store.texts("HGETALL", store.keys.counts())
    assert dict(zip(counts[::2], counts[1::2], strict=True)) == {
        "queued:demo": f"{FIRES_PER_CALL + 2}",
        "blocked:demo": "1",
    }
    [stats] = store.run(read_stats(store.keys, [Query(Window.HOUR, OVERALL)]))
    assert (stats.submitted, stats.skipped) == (FIRES_PER_CALL + 3, 2)


def test_a_damaged_cron_does_not_stop_those_after_it(store: Store) -> None:
    store.command("HSET", store.keys.cron("nightly"), "handled", "damaged")

    assert send(store, a_fire(), a_fire(cron="other"), a_fire()) == ["queued", "queued", "handled"]
    [record] = store.run(read_crons(store.keys, ["nightly"]))
    assert record.handled == ONE


def test_what_all_fire_times_of_a_call_share_is_written_once(store: Store) -> None:
    fires = [a_fire(cron=f"cron-{number}") for number in range(FIRES_PER_CALL)]
    send(store, a_fire())  # the server has not got the script before
    before = Counter(calls_of(store))

    send(store, *fires)

    used = Counter(calls_of(store)) - before
    del used["info"]  # asked by this test
    each = dict.fromkeys(("hmget", "exists", "xadd"), FIRES_PER_CALL)
    once = dict.fromkeys(("evalsha", "time", "sadd", "hincrby", "rpush"), 1)
    # The cron and the record of each; the last jobs, of the task and of all.
    assert used == each | once | {"hset": 2 * FIRES_PER_CALL + 1}
