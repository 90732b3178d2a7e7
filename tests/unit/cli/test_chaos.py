"""`jobrunner chaos` before it plays anything, and how it tells what came of it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from jobrunner.chaos.catalog import FAMILIES, SCENARIOS
from jobrunner.chaos.document import Part, replace_part, report_markdown, scenarios_markdown
from jobrunner.chaos.invariants import Violation
from jobrunner.chaos.report import Report, report_json
from jobrunner.chaos.rounds import full_rounds, short_rounds
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.suite import Outcome
from jobrunner.cli.render_chaos import report_screen
from tests.unit.cli.conftest import Invoke

TOP = Path(__file__).parents[3]
BOUND = "until it is back"
SCENARIO = Scenario("storm", "Nothing is lost.", lambda _: None, bounds={BOUND: 1.0}, rounds=3)


def outcome(*violations: str, recovery: float = 0.5, seed: int = 7) -> Outcome:
    return Outcome(
        SCENARIO,
        seed,
        asked_s=2.0,
        jobs=1000,
        attempts=1010,
        repeats=10,
        states={"completed": 1000},
        reasons={},
        faults={"kill-worker": 4, "kill-host": 1, "stop": 2},
        figures={BOUND: [0.2, recovery, 0.3]},
        violations=[Violation("I1", "a", what) for what in violations],
        server="Valkey 9.1.2",
        folder=Path("/tmp/jr-chaos-1") if violations else None,
    )


def a_report(*outcomes: Outcome) -> Report:
    begun_at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    return Report(outcomes, 7, begun_at, 90.0, "--own-server")


# The command line.


def test_an_unknown_scenario_is_refused_with_the_nearest_one(invoke: Invoke) -> None:
    result = invoke("chaos", "--only", "kill-anythin")

    assert (result.stdout, result.code) == ("", 2)
    assert result.stderr == (
        "error: there is no scenario 'kill-anythin'\n"
        "  fix: use 'kill-anything'; `jobrunner chaos --list` lists all\n"
    )


def test_a_scenario_that_harms_the_server_is_not_played_on_the_users_store(invoke: Invoke) -> None:
    result = invoke("chaos", "--only", "kill-server")

    assert result.code == 2
    assert "error: scenario 'kill-server' is not played on your store\n" in result.stderr
    assert "  fix: use --own-server\n" in result.stderr


def test_full_rounds_have_their_own_length(invoke: Invoke) -> None:
    result = invoke("chaos", "--full", "--seconds", "3")

    assert result.code == 2
    assert "--full and --seconds exclude each other" in result.stderr


def test_a_store_is_needed(invoke: Invoke) -> None:
    assert "there is no manifest" in invoke("chaos").stderr


def test_the_list_tells_each_scenario_and_its_promise(invoke: Invoke) -> None:
    listed = json.loads(invoke("chaos", "--list", "--json").stdout)

    assert [each["name"] for each in listed] == [scenario.name for scenario in SCENARIOS]
    assert list(listed[0]) == ["name", "promise", "is_safe", "rounds", "duration_ms"]
    assert "kill-server              its own  The embedded" in invoke("chaos", "--list").stdout


def test_the_list_is_written_into_a_document(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("# Ours\n")

    result = invoke("chaos", "--list", "--report", "report.md")

    assert (result.stdout, result.stderr, result.code) == ("", "", 0)
    assert (tmp_path / "report.md").read_text().startswith("# Ours\n\n<!-- scenarios -->\n| rule ")


def test_a_report_that_cannot_be_written_is_told(invoke: Invoke) -> None:
    result = invoke("chaos", "--list", "--report", "nowhere/report.md")

    assert result.code == 2
    assert "error: the report cannot be written to nowhere/report.md" in result.stderr


def test_a_report_is_no_manifest(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("name: shop\n")

    environ = {"JOBRUNNER_STATE": str(tmp_path / "state")}
    result = invoke("chaos", "--only", "drain", "--report", "report.md", environ=environ)

    assert result.code == 4  # no daemon has started the manifest's server


# Rounds.


def test_full_rounds_have_a_seed_each() -> None:
    rounds = full_rounds([SCENARIO], 5)

    assert [(each.seed, each.seconds) for each in rounds] == [(5, 10), (6, 10), (7, 10)]


def test_short_rounds_are_one_of_each() -> None:
    [each] = short_rounds([SCENARIO], 5, 2.0)

    assert (each.seed, each.seconds) == (5, 2.0)


# The report.


def test_rounds_of_a_scenario_are_counted_together() -> None:
    [row] = a_report(outcome(), outcome(seed=8)).rows()

    assert (row.rounds, row.jobs, row.attempts, row.repeats) == (2, 2000, 2020, 20)
    assert (row.kills, row.other_faults, row.violations) == (10, 4, 0)


def test_a_report_tells_what_was_broken_and_how_to_see_it_again() -> None:
    report = a_report(outcome(), outcome("is lost", seed=8))

    [broken] = report.breaks()

    assert not report.is_good
    assert broken.what == "I1 a: is lost"
    assert broken.repeat == "jobrunner chaos --only storm --seed 8 --seconds 2 --own-server"
    assert broken.folder == "/tmp/jr-chaos-1"


def test_a_figure_beyond_its_bound_breaks_a_promise() -> None:
    report = a_report(outcome(recovery=1.2))

    assert not report.is_good
    assert [broken.what for broken in report.breaks()] == [f"{BOUND}: 1.20 s, and not 1 s"]
    assert report.total().violations == 1


def test_a_report_as_json_has_whole_milliseconds() -> None:
    told = report_json(a_report(outcome()))

    assert told["is_good"] is True
    assert told["duration_ms"] == 90_000
    assert told["begun_at"] == "2026-11-21T12:00:00Z"
    assert told["figures"] == [
        {
            "scenario": "storm",
            "name": BOUND,
            "times": 3,
            "median_ms": 300,
            "longest_ms": 500,
            "bound_ms": 1000,
        }
    ]
    assert told["violations"] == []


@pytest.mark.parametrize("width", [60, 200])
def test_a_report_for_people_ends_with_the_verdict(width: int) -> None:
    console = Console(width=width, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(report_screen(a_report(outcome("is lost")), width))
    text = " ".join(captured.get().split())

    assert "storm: I1 a: is lost repeat: jobrunner chaos --only storm --seed 7" in text
    assert "look at: /tmp/jr-chaos-1" in text
    assert "promises were broken in 90 s, seed 7; jobrunner" in text


# The document.


def test_a_part_is_replaced_between_its_markers() -> None:
    text = "# Title\n<!-- report -->\nold\n<!-- /report -->\nafter\n"

    assert replace_part(text, Part.REPORT, "new \\1") == (
        "# Title\n<!-- report -->\nnew \\1\n<!-- /report -->\nafter\n"
    )


def test_a_missing_part_comes_at_the_end() -> None:
    assert replace_part("# Title\n", Part.REPORT, "new") == (
        "# Title\n\n<!-- report -->\nnew\n<!-- /report -->\n"
    )


def test_a_report_for_a_document_has_counts_figures_and_what_was_broken() -> None:
    text = report_markdown(a_report(outcome("is lost")))

    assert text.startswith("**Promises were broken**: 1,000 jobs, 1,010 attempts and 5 kills in 1")
    assert "| storm | 1 | 1,000 | 1,010 | 10 | 5 | 2 | 1 |" in text
    assert f"| storm | {BOUND} | 3 | 0.30 s | 0.50 s | 1 s |" in text
    assert "- `storm`, seed 7: I1 a: is lost (`jobrunner chaos --only storm" in text


def test_the_document_tells_every_scenario_of_the_catalog() -> None:
    """`jobrunner chaos --list --report docs/reliability.md` writes them there."""
    text = (TOP / "docs" / "reliability.md").read_text()

    assert f"<!-- scenarios -->\n{scenarios_markdown()}\n<!-- /scenarios -->" in text
    assert text.count("<!-- report -->\n") == text.count("\n<!-- /report -->") == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_of_scenarios_has_its_short_rounds(family: str) -> None:
    assert (TOP / "tests" / "chaos" / f"test_{family}.py").is_file()
