"""Decisions about retries, misfires, jitter and fair shares."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobrunner.crons import FireSpan, fire_times, next_fire, parse_cron
from jobrunner.manifest.spec import CatchUp, CronSpec, Misfire, Retry
from jobrunner.policy import (
    FIRES_AT_ONCE,
    Failure,
    MisfireDecision,
    decide_misfire,
    fair_share,
    is_prompt,
    jitter_delay,
    retry_delay,
    should_retry,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def ago(**units: float) -> datetime:
    return NOON - timedelta(**units)


def retry(**settings: Any) -> Retry:
    return Retry(**{"attempts": 3, "jitter": False, **settings})


def decide(expression: str, last_handled: datetime, **settings: Any) -> MisfireDecision:
    spec = CronSpec(task="t", cron=expression, **settings)
    return decide_misfire(parse_cron(expression, "UTC", "x"), spec, last_handled, NOON)


@pytest.mark.parametrize(
    ("backoff", "seconds"),
    [
        ("exponential", [5, 10, 20, 40, 60, 60]),
        ("linear", [5, 10, 15, 20, 25, 30]),
        ("fixed", [5, 5, 5, 5, 5, 5]),
    ],
)
def test_the_delay_grows_as_the_backoff_says_up_to_its_maximum(
    backoff: str, seconds: list[int]
) -> None:
    policy = retry(backoff=backoff, delay=5, max_delay=60)

    delays = [retry_delay(policy, attempt, random=0.5) for attempt in range(1, 7)]

    assert delays == [timedelta(seconds=s) for s in seconds]


def test_full_jitter_draws_from_zero_to_the_delay() -> None:
    policy = retry(jitter=True, delay=8)

    delays = [retry_delay(policy, 2, random) for random in (0.0, 0.25, 1.0)]

    assert delays == [timedelta(0), timedelta(seconds=4), timedelta(seconds=16)]


@pytest.mark.parametrize("backoff", ["exponential", "linear", "fixed"])
def test_the_thousandth_attempt_overflows_nothing(backoff: str) -> None:
    policy = retry(backoff=backoff, delay="1d", max_delay="36500d")

    assert retry_delay(policy, 1000, random=1.0) <= timedelta(days=36_500)


def test_no_delay_stays_none() -> None:
    assert retry_delay(retry(delay=0), 1000, random=1.0) == timedelta(0)


def test_attempts_end() -> None:
    assert [should_retry(retry(), counted, Failure(exit_code=1)) for counted in (1, 2, 3, 4)] == [
        True,
        True,
        False,
        False,
    ]
    assert not should_retry(Retry(), 1, Failure())


@pytest.mark.parametrize(
    ("settings", "failure", "is_retried"),
    [
        ({}, Failure(exit_code=1), True),
        ({}, Failure(exceptions=("ValueError",)), True),
        ({"exit_codes": [7, 22]}, Failure(exit_code=22), True),
        ({"exit_codes": [7, 22]}, Failure(exit_code=1), False),
        ({"exit_codes": []}, Failure(exit_code=1), False),
        ({"exit_codes": [7]}, Failure(), True),  # a timeout
        ({"exceptions": ["OSError"]}, Failure(exceptions=("TimeoutError", "OSError")), True),
        ({"exceptions": ["shop.Sold"]}, Failure(exceptions=("Sold", "shop.Sold")), True),
        ({"exceptions": ["OSError"]}, Failure(exceptions=("ValueError", "Exception")), False),
        ({"exceptions": ["OSError"]}, Failure(exit_code=1), True),
        ({"exceptions": ["OSError"]}, Failure(), True),
    ],
)
def test_a_list_restricts_failures_of_its_kind(
    settings: dict[str, Any], failure: Failure, is_retried: bool
) -> None:
    assert should_retry(retry(**settings), 1, failure) is is_retried


@pytest.mark.parametrize("misfire", list(Misfire))
def test_what_is_noticed_within_grace_fires_under_every_policy(misfire: Misfire) -> None:
    decision = decide("* * * * *", ago(minutes=3), misfire=misfire, grace="3m")

    assert decision == MisfireDecision([ago(minutes=2), ago(minutes=1), NOON])


def test_a_fire_time_exactly_grace_old_is_no_misfire() -> None:
    assert decide("59 11 * * *", ago(hours=1), misfire="skip", grace=60).fire == [ago(minutes=1)]
    assert decide("59 11 * * *", ago(hours=1), misfire="skip", grace=59).fire == []


def test_nothing_due_makes_nothing() -> None:
    assert decide("0 13 * * *", ago(hours=1)) == MisfireDecision([])


def test_skip_records_all_misfires_at_once() -> None:
    decision = decide("15 * * * *", ago(hours=5), misfire="skip")

    skipped = FireSpan(first=ago(minutes=285), last=ago(minutes=45), count=5)
    assert decision == MisfireDecision([], skipped)


def test_once_fires_the_latest_misfire_and_records_the_others() -> None:
    decision = decide("15 * * * *", ago(hours=5))

    skipped = FireSpan(first=ago(minutes=285), last=ago(minutes=105), count=4)
    assert decision == MisfireDecision([ago(minutes=45)], skipped)


def test_once_with_one_misfire_records_nothing() -> None:
    assert decide("15 * * * *", ago(hours=1)) == MisfireDecision([ago(minutes=45)])


def test_once_coalesces_into_a_fire_time_within_grace() -> None:
    decision = decide("0 * * * *", ago(hours=3))

    assert decision == MisfireDecision([NOON], FireSpan(ago(hours=2), ago(hours=1), 2))


def test_all_catches_up_oldest_first() -> None:
    decision = decide("0 * * * *", ago(hours=3), misfire="all")

    assert decision == MisfireDecision([ago(hours=2), ago(hours=1), NOON])


def test_all_leaves_out_what_is_older_than_its_window() -> None:
    catch_up = CatchUp(window=timedelta(hours=2))

    decision = decide("0 * * * *", ago(hours=6), misfire="all", catch_up=catch_up)

    skipped = FireSpan(ago(hours=5), ago(hours=3), 3)
    assert decision == MisfireDecision([ago(hours=2), ago(hours=1), NOON], skipped)


def test_all_fires_the_newest_up_to_its_count() -> None:
    catch_up = CatchUp(window=timedelta(days=1), count=2)

    decision = decide("0 * * * *", ago(hours=6), misfire="all", catch_up=catch_up)

    skipped = FireSpan(ago(hours=5), ago(hours=3), 3)
    assert decision == MisfireDecision([ago(hours=2), ago(hours=1), NOON], skipped)


@pytest.mark.parametrize(("misfire", "fired"), [("skip", 60), ("once", 60), ("all", 100 + 60)])
@pytest.mark.parametrize("expression", ["* * * * * *", "@every 1s"])
def test_a_year_of_missed_seconds_is_counted_not_listed(
    expression: str, misfire: str, fired: int
) -> None:
    decision = decide(
        expression, ago(days=365), misfire=misfire, grace="59s", catch_up=CatchUp(window="365d")
    )

    assert decision.skipped is not None
    assert len(decision.fire) == fired
    assert decision.fire == sorted(set(decision.fire))
    assert decision.skipped.last == decision.fire[0] - timedelta(seconds=1)
    assert decision.skipped.count == 365 * 86_400 - fired


def test_every_due_fire_time_is_fired_or_recorded() -> None:
    for misfire in Misfire:
        decision = decide("*/7 * * * *", ago(days=2), misfire=misfire, catch_up=CatchUp(count=9))

        assert decision.skipped is not None
        assert len(decision.fire) + decision.skipped.count == len(range(0, 60, 7)) * 48


def test_a_long_row_is_decided_piece_by_piece_with_the_same_result() -> None:
    settings: dict[str, Any] = {"misfire": "all", "catch_up": CatchUp(count=1000)}
    handled, fired, records = ago(days=30), [], []
    is_partial = True

    while is_partial:
        decision = decide("* * * * * *", handled, **settings)
        fired += decision.fire
        records += [decision.skipped] if decision.skipped else []
        is_partial, handled = decision.is_partial, decision.fire[-1]
        assert len(decision.fire) <= FIRES_AT_ONCE

    # The misfires, and those within the 10 s of grace.
    assert fired == [ago(seconds=seconds) for seconds in range(1000 + 10, -1, -1)]
    [record] = records
    assert record.count == 30 * 86_400 - len(fired)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("expression", ["*/7 * * * *", "0,1 9 * * *", "@every 13s", "0 0 1 * *"])
def test_all_fires_exactly_its_count(expression: str, count: int) -> None:
    catch_up = CatchUp(window="100d", count=count)
    known = list(fire_times(parse_cron(expression, "UTC", "x"), ago(days=90), ago(seconds=21)))

    decision = decide(expression, ago(days=90), misfire="all", catch_up=catch_up, grace="20s")

    misfires = [fire_time for fire_time in decision.fire if fire_time < ago(seconds=20)]
    assert misfires == known[-count:]


def test_jitter_is_the_same_on_every_daemon() -> None:
    # Written down once: two daemons of different versions must agree.
    assert jitter_delay("cleanup", NOON, timedelta(seconds=20)) == timedelta(milliseconds=1461)
    assert jitter_delay("cleanup", NOON, timedelta(0)) == timedelta(0)


def test_jitter_spreads_over_its_whole_range() -> None:
    jitter = timedelta(seconds=20)

    delays = [jitter_delay("cleanup", ago(minutes=minutes), jitter) for minutes in range(2000)]

    assert min(delays) >= timedelta(0)
    assert max(delays) <= jitter
    assert {delay // timedelta(seconds=2) for delay in delays} >= set(range(10))


@pytest.mark.parametrize("batch", [1, 3, 7, 10, 64, 1000])
def test_one_claim_in_ten_goes_to_low_and_normal_in_turn(batch: int) -> None:
    shares = [fair_share(batch, claimed) for claimed in range(0, 20 * batch, batch)]

    assert sum(low for low, _ in shares) == batch
    assert sum(normal for _, normal in shares) == batch


def test_shares_never_exceed_the_free_slots() -> None:
    for free in range(30):
        for claimed in range(60):
            low, normal = fair_share(free, claimed)
            assert low >= 0
            assert normal >= 0
            assert low + normal <= free


def test_every_ten_claims_in_a_row_have_their_share() -> None:
    for claimed in range(100):
        assert sum(fair_share(10, claimed)) == 1


@pytest.mark.parametrize("misfire", list(Misfire))
@pytest.mark.parametrize("expression", ["* * * * * *", "*/2 * * * * *", "0 0 12 * * *"])
def test_a_fire_time_noticed_promptly_fires_first_and_nothing_is_skipped(
    expression: str, misfire: Misfire
) -> None:
    cron = parse_cron(expression, "Europe/Berlin", "x")
    prompt = 0

    for grace in (timedelta(0), timedelta(milliseconds=300), timedelta(minutes=1)):
        spec = CronSpec(task="t", cron=expression, misfire=misfire, grace=grace)
        for handled in (ago(seconds=3), ago(seconds=2), ago(seconds=1), ago(days=1)):
            due = next_fire(cron, handled)
            for late_ms in (0, 1, 299, 300, 301, 999, 1000, 1001, 2500):
                now = due + timedelta(milliseconds=late_ms)
                if is_prompt(spec, due, now):
                    prompt += 1
                    decision = decide_misfire(cron, spec, handled, now)
                    assert (decision.fire[0], decision.skipped) == (due, None)

    assert prompt == 4 * (1 + 4 + 9)
