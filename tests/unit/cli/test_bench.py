"""`jobrunner bench` without a run: what it refuses, and how it shows figures."""

import re
from pathlib import Path

import pytest

from jobrunner.bench.conditions import Conditions
from jobrunner.bench.figures import Figure
from jobrunner.bench.suite import PARTS, parts_named
from jobrunner.cli.render_bench import bench_json, number_text
from tests.unit.cli.conftest import NOW, Invoke

DOCUMENT = Path(__file__).parents[3] / "docs" / "json.md"
CONDITIONS = Conditions(NOW, "0.1.0", "3.11", "Linux", 2, "own", is_quick=True)
FIGURE = Figure("submit", "bulk", "rate", "jobs/s", (1.0, 3.0))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("depht",), "the benchmark has no part 'depht'"),
        (("--jobs", "1"), "--jobs is 1"),
        (("--repeat", "0"), "--repeat is 0"),
        (("--jobs", "many"), "'many' is not a whole number"),
        (("network", "--url", "redis://x"), "'network' does not run on a given store"),
        (("--url", "http://x"), "no scheme that is known"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_fix(
    invoke: Invoke, args: tuple[str, ...], message: str
) -> None:
    outcome = invoke("bench", *args)

    assert (outcome.stdout, outcome.code) == ("", 2)
    assert message in outcome.stderr
    assert "fix: " in outcome.stderr


def test_without_parts_all_are_measured_that_the_store_has() -> None:
    assert parts_named([]) == list(PARTS)
    assert set(PARTS) - set(parts_named([], "redis://x")) == {"network"}


def test_the_help_names_all_parts(invoke: Invoke) -> None:
    told = " ".join(re.sub("[│╭╮╰╯─]", "", invoke("bench", "--help").stdout).split())

    assert f"What to measure: {', '.join(PARTS)}; all without one." in told


def test_a_store_that_cannot_be_reached_is_told(invoke: Invoke, tmp_path: Path) -> None:
    outcome = invoke("bench", "throughput", "--url", f"unix://{tmp_path}/no.sock", "--quick")

    assert (outcome.stdout, outcome.code) == ("", 4)


@pytest.mark.parametrize(
    ("value", "text"), [(23500.4, "23,500"), (100, "100"), (17.23, "17.2"), (0.843, "0.84")]
)
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize("name", ["Benchmark", "Figure"])
def test_the_document_lists_exactly_the_fields_in_their_order(name: str) -> None:
    section = DOCUMENT.read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    printed = bench_json(CONDITIONS, [FIGURE])

    assert documented == list(printed if name == "Benchmark" else printed["figures"][0])
