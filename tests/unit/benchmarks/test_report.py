"""The tables of the benchmark, as Markdown."""

import pytest

from benchmarks.catalog import ASYNC, AT_ONCE, COMMANDS, OVERVIEW
from benchmarks.report import (
    BEGIN,
    DOCUMENT,
    END,
    case_table,
    overview_table,
    verdict_table,
    with_measured,
)
from benchmarks.required import Requirement, Spot, Verdict
from benchmarks.suite import Results
from jobrunner.bench.figures import Figure

FIGURES = (
    Figure(ASYNC, "taskiq", "no-op", "/s", (1000.0,)),
    Figure(ASYNC, "jobrunner", "no-op", "/s", (20000.0, 30000.0, 25000.0)),
    Figure(ASYNC, "jobrunner", "latency p50", "ms", (0.5,)),
)


def test_the_fastest_is_first_with_median_and_range() -> None:
    lines = case_table(ASYNC, Results(FIGURES, {})).splitlines()

    assert (
        lines[2]
        == "| jobrunner (64 slots) | 25,000 (20,000–30,000) | – | – | – | – | – | 0.50 | – |"
    )
    assert lines[3].startswith("| taskiq (Redis streams) | 1,000 |")


def test_a_peer_that_failed_has_a_row_that_says_why() -> None:
    table = case_table(COMMANDS, Results((), {(COMMANDS, "xargs -P"): "xargs is not installed"}))

    assert table.splitlines()[-1] == "| xargs -P | xargs is not installed |"


def test_commands_of_peers_are_told_beside_ours_in_turn_with_them() -> None:
    figures = (
        Figure(OVERVIEW, "rq info", "time", "ms", (150.0,)),
        Figure(OVERVIEW, "rq info", "jobrunner status", "ms", (120.0,)),
    )
    results = Results(figures, {(OVERVIEW, "celery status"): "failed: it said nothing"})

    assert overview_table(results).splitlines()[2:] == [
        "| rq info | 150 | 120 |",
        "| celery status | failed: it said nothing |",
    ]


def test_without_peers_there_is_no_table_of_their_commands() -> None:
    figure = Figure("cli", "status", "time", "ms", (200.0,))

    assert overview_table(Results((figure,), {})) == ""


@pytest.mark.parametrize("case", AT_ONCE)
def test_of_commands_only_the_rate_is_told(case: str) -> None:
    figure = Figure(case, "xargs -P", "no-op", "/s", (2000.0,))

    assert case_table(case, Results((figure,), {})).splitlines()[2:] == ["| xargs -P | 2,000 |"]


def test_a_case_that_nobody_measured_has_no_table() -> None:
    assert case_table(COMMANDS, Results(FIGURES, {})) == ""


def test_a_verdict_says_what_was_asked_for() -> None:
    ours = Spot(ASYNC, "jobrunner", "no-op")
    verdicts = [
        Verdict(Requirement("fast", ours, at_least=15), 16),
        Verdict(Requirement("quick", ours, at_most=2.5), 3),
        Verdict(Requirement("absent", ours, at_most=1), None),
    ]

    assert verdict_table(verdicts).splitlines()[2:] == [
        "| fast | 15 | 16.0 | reached |",
        "| quick | at most 2.5 | 3.00 | **not reached** |",
        "| absent | at most 1 | – | not measured |",
    ]


def test_only_what_is_between_the_markers_is_replaced() -> None:
    assert with_measured(f"a\n{BEGIN}old\n{END}b\n", "new\n") == f"a\n{BEGIN}\nnew\n\n{END}b\n"


def test_the_document_has_the_markers() -> None:
    text = DOCUMENT.read_text()

    assert text.count(BEGIN) == text.count(END) == 1
