"""Which expressions are read, what they stand for, and how the others are refused."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from jobrunner.crons import (
    InvalidCron,
    NeverFires,
    describe,
    fire_times,
    interval_cron,
    next_fire,
    parse_cron,
)
from jobrunner.errors import ExitCode

START = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday

SAME = [
    ("5-5 * * * *", "5 * * * *"),
    ("5/15 * * * *", "5,20,35,50 * * * *"),
    ("59/15 * * * *", "59 * * * *"),
    ("10-30/10 * * * *", "10,20,30 * * * *"),
    ("0 0 * jan,MAR-may *", "0 0 * 1,3,4,5 *"),
    ("0 0 * * Mon-Fri", "0 0 * * 1-5"),
    ("0 0 * * 7", "0 0 * * 0"),
    ("0 0 * * 7/2", "0 0 * * 0"),
    ("0 0 * * 5-7", "0 0 * * 5,6,0"),
    ("0 0 * * fri-sun", "0 0 * * 5-7"),
    ("0 0 * * sun-tue", "0 0 * * 0-2"),
    ("0 0 ? * 1", "0 0 * * 1"),
    ("0 0 1 * ?", "0 0 1 * *"),
    ("0 0 * * 5L", "0 0 * * L5"),
    ("0 0 * * friL", "0 0 * * 5L"),
    ("0 0 * * fri#2", "0 0 * * 5#2"),
    ("0 5 * * * *", "5 * * * *"),
    ("  0\t0 * *   * ", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@Midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
]

DATES = [
    ("0 0 L 1-4 *", ["01-31", "02-28", "03-31", "04-30"]),
    ("0 0 15,L 2 *", ["02-15", "02-28"]),
    ("0 0 15W 2-4 *", ["02-16", "03-16", "04-15"]),  # 15 February and March: Sundays
    ("0 0 1W 8 *", ["08-03"]),  # 1 August: a Saturday; 31 July would be another month
    ("0 0 LW 1-2 *", ["01-30", "02-27"]),
    ("0 0 1,15W 2 *", ["02-01", "02-16"]),
    ("0 0 * 1 5#2", ["01-09"]),
    ("0 0 * 1-2 fri#5", ["01-30"]),
    ("0 0 * 1 5L,1#1", ["01-05", "01-30"]),
    ("0 0 * 1 5,5#2", ["01-02", "01-09", "01-16", "01-23", "01-30"]),
    # Day of month or day of week: either is enough …
    ("0 0 13 2 5", ["02-06", "02-13", "02-20", "02-27"]),
    ("0 0 20 1 5#2", ["01-09", "01-20"]),
    ("0 0 15W 2 2", ["02-03", "02-10", "02-16", "02-17", "02-24"]),
    ("0 0 30 2 1", ["02-02", "02-09", "02-16", "02-23"]),
    # … unless one of them starts with a star.
    ("0 0 */10 1 4,0", ["01-01", "01-11"]),
    ("0 0 1,8,9 1 */4", ["01-01", "01-08"]),
]

REFUSED = [
    ("0 22-4 * * *", "  ^^^^", "runs backwards", "22-23,0-4"),
    ("0 0 * * fri-mon", "        ^^^^^^^", "runs backwards", "fri-sat,sun-mon"),
    ("0 0 * 11-2 *", "      ^^^^", "runs backwards", "11-12,1-2"),
    ("0 0 30 2 *", "    ^^", "never comes", "L is the last day"),
    ("0 0 31 4,6,9,11 *", "    ^^", "never comes", "change one"),
    ("0 0 */30 * 5#2", "    ^^^^", "never comes", "change one"),
    ("R * * * *", "^", "invalid minute 'R'", "use H"),
    ("0 R(1-5) * * *", "  ^^^^^^", "invalid hour", "use H"),
    ("R/15 * * * *", "^^^^", "invalid minute", "use H"),
    ("0 0 1 1 * 0 2026", "            ^^^^", "a seventh field", "remove it"),
    ("* * * *", "^^^^^^^", "4 fields", "five fields"),
    ("@daily 5", "       ^", "unexpected '5'", "remove the rest"),
    ("@dialy", "^^^^^^", "unknown alias", "write one of these"),
    ("60 * * * *", "^^", "out of range", "from 0 to 59"),
    ("60 * * * * *", "^^", "second 60 is out of range", "from 0 to 59"),
    ("0 24 * * *", "  ^^", "out of range", "from 0 to 23"),
    ("0 0 0 * *", "    ^", "out of range", "from 1 to 31"),
    ("0 0 * 13 *", "      ^^", "out of range", "from 1 to 12"),
    ("0 0 * * 8", "        ^", "out of range", "from 0 to 7"),
    ("1,75 * * * *", "  ^^", "out of range", "from 0 to 59"),
    ("0 0 99W * *", "    ^^", "out of range", "from 1 to 31"),
    ("*/0 * * * *", "^^^", "invalid step '0'", "*/5"),
    ("*/90 * * * *", "^^^^", "invalid step '90'", "@every 90m"),
    ("*/x * * * *", "^^^", "invalid step 'x'", "*/5"),
    ("0 0 * foo *", "      ^^^", "invalid month 'foo'", "write *"),
    ("0 0 * * monday", "        ^^^^^^", "invalid day of week", "did you mean mon?"),
    ("0 mon * * *", "  ^^^", "invalid hour 'mon'", "write *"),
    ("1,,2 * * * *", "  ^", "invalid minute ''", "remove it"),
    ("1- * * * *", "  ^", "invalid minute ''", "remove it"),
    ("1-2-3 * * * *", "^^^^^", "invalid minute '1-2-3'", "write *"),
    ("*-5 * * * *", "^", "invalid minute '*'", "write *"),
    ("1/2/3 * * * *", "^^^^^", "invalid minute", "write *"),
    ("0 L * * *", "  ^", "invalid hour 'L'", "L, 15W or LW"),
    ("0 0 L-3 * *", "    ^^^", "invalid day of month 'L-3'", "cannot be counted back"),
    ("0 0 1,l-3W * *", "      ^^^^", "invalid day of month 'l-3W'", "cannot be counted back"),
    ("0 0 * * L", "        ^", "'L' alone as day of week", "5L"),
    ("CRON_TZ=Asia/Tokyo 0 9 * * *", "^^^^^^^^^^^^^^^^^^", "a time zone", "`timezone: Asia/Tokyo`"),
    ("TZ=UTC @daily", "^^^^^^", "a time zone", "`timezone: UTC`"),
    ("tz= 0 9 * * *", "^^^", "a time zone", "`timezone: Europe/Berlin`"),
    ("0 0 1-5W * *", "      ^^", "invalid day of month '5W'", "15W"),
    ("0 0 * * 5#6", "        ^^^", "invalid day of week '5#6'", "5#1"),
    ("? * * * *", "^", "invalid minute '?'", "? stands alone"),
    ("0 0 ?,1 * *", "    ^", "invalid day of month '?'", "? stands alone"),
    ("H(40-70) * * * *", "     ^^", "out of range", "from 0 to 59"),
    ("H(40-30) * * * *", "^^^^^^^^", "invalid range", "H(0-59)"),
    ("0 ٣ * * *", "  ^", "invalid hour", "write *"),  # a digit, but not one of cron's
    ("0\t24 * * *", "  ^^", "out of range", "from 0 to 23"),
]


def fires(expression: str, count: int = 30, name: str = "x") -> list[datetime]:
    cron = parse_cron(expression, "UTC", name)
    found = [next_fire(cron, START - timedelta(seconds=1))]
    while len(found) < count:
        found.append(next_fire(cron, found[-1]))
    return found


@pytest.mark.parametrize(("expression", "other"), SAME)
def test_spellings_of_one_schedule_agree(expression: str, other: str) -> None:
    assert fires(expression, 8) == fires(other, 8)


@pytest.mark.parametrize(("expression", "dates"), DATES)
def test_days_are_those_of_the_calendar(expression: str, dates: list[str]) -> None:
    cron = parse_cron(expression, "UTC", "x")

    found = fire_times(cron, START - timedelta(seconds=1), datetime(2026, 12, 31, tzinfo=UTC))

    assert [f"{fire_time:%m-%d}" for fire_time in found] == dates


@pytest.mark.parametrize(("expression", "carets", "what", "advice"), REFUSED)
def test_a_bad_field_is_refused_with_carets_under_it(
    expression: str, carets: str, what: str, advice: str
) -> None:
    with pytest.raises(InvalidCron) as refused:
        parse_cron(expression, "UTC", "x")

    error = refused.value
    assert error.excerpt == f"{expression.replace(chr(9), ' ')}\n{carets}"
    assert what in error.what
    assert advice in f"{error.why} {error.fix}"
    assert error.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("expression", ["", "  ", "@every", "@every soon", "@every 500ms"])
def test_an_expression_without_fields_or_interval_is_refused(expression: str) -> None:
    with pytest.raises(InvalidCron) as refused:
        parse_cron(expression, "UTC", "x")

    assert refused.value.why
    assert refused.value.fix


@pytest.mark.parametrize("seconds", [0, 0.5, 1.5, 90.25])
def test_an_interval_is_whole_seconds(seconds: float) -> None:
    with pytest.raises(InvalidCron, match=r"the interval .+ cannot be used"):
        interval_cron(timedelta(seconds=seconds), "UTC", "x")


@pytest.mark.parametrize(
    ("zone", "advice"),
    [
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("berlin", "did you mean 'Europe/Berlin'?"),
        ("new york", "did you mean 'America/New_York'?"),
        ("", "write a name like 'Europe/Berlin', or 'UTC'"),
        ("GMT+2", "write a place, e.g. 'Europe/Berlin', or 'Etc/GMT-2', which is UTC+2"),
        ("UTC-03:00", "write a place, e.g. 'Europe/Berlin', or 'Etc/GMT+3', which is UTC-3"),
        ("+05:30", "write a name like 'Europe/Berlin', or 'UTC'"),
        ("local", "write the zone's own name, e.g. 'Europe/Berlin': daemons must agree on it"),
        ("../etc/passwd", "write a name like 'Europe/Berlin', or 'UTC'"),
    ],
)
@pytest.mark.parametrize("expression", ["0 2 * * *", "@every 5m", "@reboot"])
def test_an_unknown_time_zone_is_refused_with_the_nearest_name(
    expression: str, zone: str, advice: str
) -> None:
    with pytest.raises(InvalidCron) as refused:
        parse_cron(expression, zone, "x")

    assert refused.value.what == f"unknown time zone '{zone}'"
    assert refused.value.fix == advice


def test_a_folder_of_zones_is_no_zone() -> None:
    with pytest.raises(InvalidCron, match="unknown time zone 'Europe'"):
        parse_cron("0 2 * * *", "Europe", "x")


def test_intervals_fire_at_multiples_since_the_epoch() -> None:
    found = fires("@every 7m", 3)

    assert all(int(fire_time.timestamp()) % 420 == 0 for fire_time in found)
    assert found == fires("@every 420s", 3)
    assert interval_cron(timedelta(minutes=7), "UTC", "x") == parse_cron("@every 7m", "UTC", "x")


def test_a_long_interval_fires_at_its_next_multiple() -> None:
    cron = parse_cron("@every 30d", "UTC", "x")

    fire_time = next_fire(cron, START)

    days = (fire_time - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(days=30)
    assert days.is_integer()
    assert START < fire_time <= START + timedelta(days=30)


def test_reboot_has_no_fire_times() -> None:
    cron = parse_cron("@reboot", "UTC", "x")

    assert cron.is_reboot
    assert list(fire_times(cron, START, START + timedelta(days=1))) == []
    with pytest.raises(NeverFires):
        next_fire(cron, START)


def test_29_february_is_found_over_a_century_that_is_no_leap_year() -> None:
    cron = parse_cron("0 0 29 2 *", "UTC", "x")

    after = next_fire(cron, datetime(2096, 3, 1, tzinfo=UTC))

    assert after == datetime(2104, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "after", "fire_time"),
    [
        ("0 0 29 2 */7", "2032-03-01", "2060-02-29"),
        ("0 0 * 2 5#5", "2026-11-30", "2036-02-29"),
        ("0 0 * 2 5#5", "2064-03-01", "2092-02-29"),
        ("0 0 * 2 5#5", "2092-03-01", "2104-02-29"),
        ("0 0 29 2 */7", "2096-03-01", "2128-02-29"),
        ("0 0 * 2 5#5", "2190-01-01", "2228-02-29"),
        ("@every 4000d", "2026-11-21", "2035-09-17"),
    ],
)
def test_a_fire_time_is_found_however_many_years_away(
    expression: str, after: str, fire_time: str
) -> None:
    cron = parse_cron(expression, "UTC", "x")

    found = next_fire(cron, datetime.fromisoformat(f"{after}T00:00Z"))

    assert found.date().isoformat() == fire_time


@pytest.mark.parametrize(
    ("expression", "zone", "after"),
    [
        ("* * * * *", "UTC", datetime(9999, 12, 31, tzinfo=UTC)),
        ("*/30 2 * 3 0L", "Europe/Berlin", START),  # that hour never exists on that day
    ],
)
def test_a_cron_without_fire_time_in_400_years_says_so(
    expression: str, zone: str, after: datetime
) -> None:
    with pytest.raises(NeverFires, match="cron 'x' never fires"):
        next_fire(parse_cron(expression, zone, "x"), after)


def test_a_cycle_of_the_calendar_is_searched_in_a_moment() -> None:
    never = parse_cron("*/30 2 * 3 0L", "Europe/Berlin", "x")

    begun = time.process_time()
    with pytest.raises(NeverFires):
        next_fire(never, START)

    assert time.process_time() - begun < 5


def test_the_first_fire_time_is_not_before_the_epoch() -> None:
    cron = parse_cron("* * * * *", "Europe/Berlin", "x")

    assert next_fire(cron, datetime(1, 1, 1, tzinfo=UTC)).year == 1970


def test_h_is_decided_by_the_name_for_ever() -> None:
    # Written down once: a change would move the crons of everybody.
    assert describe(parse_cron("H H * * *", "UTC", "nightly-backup")) == "daily at 05:49"
    assert describe(parse_cron("H H * * *", "UTC", "cleanup")) == "daily at 04:30"


def test_h_stays_in_its_range_and_spreads() -> None:
    names = [f"cron-{number}" for number in range(300)]

    minutes = {fires("H(10-29) * * * *", 1, name)[0].minute for name in names}
    days = {fires("0 0 H * *", 1, name)[0].day for name in names}

    assert minutes == set(range(10, 30))
    assert days == set(range(1, 29))


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_h_with_a_step_keeps_the_step(name: str) -> None:
    found = fires("H/15 * * * *", 8, name)

    assert {later - sooner for sooner, later in pairwise(found)} == {timedelta(minutes=15)}
    assert {fire_time.minute for fire_time in fires("H(30-59)/10 * * * *", 6, name)} < set(
        range(30, 60)
    )


def test_importing_crons_and_policies_loads_neither_croniter_nor_pydantic() -> None:
    program = (
        "import sys, jobrunner.crons, jobrunner.policy\n"
        "print([name for name in ('croniter', 'pydantic') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("blank", "name"),
    [
        ("\u00a0", "U+00A0 (NO-BREAK SPACE)"),
        ("\u2003", "U+2003 (EM SPACE)"),
        ("\u3000", "U+3000 (IDEOGRAPHIC SPACE)"),
        ("\u200b", "U+200B (ZERO WIDTH SPACE)"),
        ("\ufeff", "U+FEFF (ZERO WIDTH NO-BREAK SPACE)"),
        ("\x1f", "U+001F (a control character)"),
        ("\u2028", "U+2028 (LINE SEPARATOR)"),
    ],
)
def test_a_character_that_looks_like_a_blank_is_refused_with_its_name(
    blank: str, name: str
) -> None:
    with pytest.raises(InvalidCron) as caught:
        parse_cron(f"0 2{blank}* * *", "UTC", "x")

    assert f"the character {name} in cron expression '0 2·* * *'" in caught.value.what
    assert caught.value.excerpt == "0 2·* * *\n   ^"


def test_an_expression_of_a_megabyte_is_refused() -> None:
    with pytest.raises(InvalidCron, match="a cron expression of 1000009 characters"):
        parse_cron("1," * 500_000 + "1 * * * *", "UTC", "x")
