"""`next`: the coming fire times of an expression, of a cron, of all crons."""

import json
from pathlib import Path

from tests.unit.cli.conftest import Invoke


def test_an_expression_is_shown_in_its_zone_with_what_clock_changes_do(invoke: Invoke) -> None:
    outcome = invoke(
        "next", "--expr", "30 2 * * *", "--tz", "Europe/Berlin", "--from", "2026-03-28", "-n", "2"
    )

    lines = outcome.stdout.splitlines()
    assert lines[0].split() == ["LOCAL", "TIME", "IN", "SCHEDULE", "ZONE", "NOTE"]
    assert lines[1].startswith("Sat 2026-03-28 02:30:00 CET   238d ago  daily at 02:30  Europe/")
    assert lines[2].startswith("Sun 2026-03-29 03:00:00 CEST")
    assert "clocks go forward: 02:30 does not exist" in lines[2]
    assert (len(lines), outcome.stderr, outcome.code) == (3, "", 0)


def test_json_has_the_instant_in_utc_and_in_the_zone(invoke: Invoke) -> None:
    outcome = invoke(
        "next", "--expr", "30 2 * * *", "--tz", "Europe/Berlin", "-n", "1", "--json",
        "--from", "2026-03-28T01:30:00Z",
    )  # fmt: skip

    assert json.loads(outcome.stdout) == [
        {
            "cron": None,
            "fire_time": "2026-03-28T01:30:00Z",
            "local_time": "2026-03-28T02:30:00+01:00",
            "note": None,
        }
    ]
    assert (outcome.stderr, outcome.code) == ("", 0)


def test_without_from_the_next_fires_are_later_than_now(invoke: Invoke) -> None:
    outcome = invoke("next", "--expr", "@every 1h", "-n", "2", "--json")

    times = [fire["fire_time"] for fire in json.loads(outcome.stdout)]
    assert times == ["2026-11-21T13:00:00Z", "2026-11-21T14:00:00Z"]


def test_a_bad_expression_is_shown_with_a_caret(invoke: Invoke) -> None:
    outcome = invoke("next", "--expr", "61 * * * *")

    assert outcome.stdout == ""
    assert outcome.stderr.startswith("error: ")
    assert "\n    61 * * * *\n    ^" in outcome.stderr
    assert "\n  fix: " in outcome.stderr
    assert outcome.code == 2


def test_an_instant_that_cannot_be_read_is_a_usage_error(invoke: Invoke) -> None:
    outcome = invoke("next", "--expr", "@daily", "--from", "tomorrow")

    assert outcome.stderr.startswith("error: cannot read the instant 'tomorrow'\n  why: ")
    assert (outcome.stdout, outcome.code) == ("", 2)


def test_a_zone_or_a_cron_beside_an_expression_is_refused(invoke: Invoke) -> None:
    zone = invoke("next", "--tz", "Europe/Berlin")
    cron = invoke("next", "nightly", "--expr", "@daily")

    assert zone.stderr.startswith("error: --tz needs --expr\n")
    assert cron.stderr.startswith("error: give a cron or --expr, not both\n")
    assert zone.code == cron.code == 2


def test_an_expression_that_never_fires_has_no_fire_times(invoke: Invoke) -> None:
    table = invoke("next", "--expr", "@reboot")
    found = invoke("next", "--expr", "@reboot", "--json")

    assert (table.stdout, table.code) == ("no fire time is coming\n", 0)
    assert (found.stdout, found.code) == ("[]\n", 0)


def test_a_clock_change_between_two_fires_has_a_row_of_its_own(invoke: Invoke) -> None:
    options = ("--expr", "30 4 * * *", "--tz", "Europe/Berlin", "--from", "2026-03-28", "-n", "2")

    table = invoke("next", *options).stdout.splitlines()
    found = json.loads(invoke("next", *options, "--json").stdout)

    assert [line[:28].strip() for line in table[1:]] == [
        "Sat 2026-03-28 04:30:00 CET",
        "Sun 2026-03-29 03:00:00 CEST",
        "Sun 2026-03-29 04:30:00 CEST",
    ]
    assert table[2].endswith(
        "(clock change)  Europe/Berlin  clocks go forward 1h: 02:00 becomes 03:00"
    )
    assert [fire["local_time"] for fire in found] == [
        "2026-03-28T04:30:00+01:00",
        "2026-03-29T04:30:00+02:00",
    ]


def test_a_clock_change_that_a_fire_tells_has_no_row(invoke: Invoke) -> None:
    outcome = invoke(
        "next", "--expr", "*/30 2 * * *", "--tz", "Europe/Berlin", "--from", "2026-03-28",
        "-n", "3", "--json",
    )  # fmt: skip

    notes = [fire["note"] for fire in json.loads(outcome.stdout)]
    assert notes == [
        None,
        None,
        "clocks go forward: 02:00 and 02:30 do not exist and are skipped",
    ]


def test_crons_of_one_zone_share_the_row_of_a_clock_change(invoke: Invoke, tmp_path: Path) -> None:
    crons = "".join(
        f"  {name}: {{task: t, cron: '0 {hour} * * *', timezone: Europe/Berlin}}\n"
        for name, hour in (("early", 4), ("late", 5))
    )
    manifest = f"name: shop\ntasks:\n  t: {{command: ['true']}}\ncrons:\n{crons}"
    (tmp_path / "jobs.yaml").write_text(manifest)

    outcome = invoke("next", "--from", "2026-03-28", "-n", "4")

    assert outcome.stdout.count("clocks go forward 1h") == 1
    assert [line.split()[2] for line in outcome.stdout.splitlines()[1:]] == [
        "04:00:00", "05:00:00", "03:00:00", "04:00:00", "05:00:00",
    ]  # fmt: skip


def test_the_first_fire_of_an_interval_of_days_tells_from_where_it_counts(invoke: Invoke) -> None:
    outcome = invoke(
        "next", "--expr", "@every 1w", "--tz", "Europe/Berlin", "-n", "2", "--json",
        "--from", "2026-11-30",
    )  # fmt: skip

    first, second = json.loads(outcome.stdout)
    assert first["local_time"] == "2026-12-03T00:00:00+01:00"
    assert first["note"] == (
        "whole days count from midnight in Europe/Berlin, weeks from a Thursday, 1970-01-01"
    )
    assert second["note"] is None
