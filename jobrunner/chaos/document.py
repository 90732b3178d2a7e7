"""The parts of docs/reliability.md that are generated: what is tested, and the last report. Pure.

A part stands between two comments, `<!-- NAME -->` and `<!-- /NAME -->`; all else is people's.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from jobrunner.chaos.catalog import FAMILIES
from jobrunner.chaos.invariants import RULES
from jobrunner.chaos.report import Break, Figure, Report, Row
from jobrunner.chaos.scenario import Scenario, rules_alone


class Part(StrEnum):
    SCENARIOS = "scenarios"
    REPORT = "report"


def replace_part(text: str, part: Part, content: str) -> str:
    """The document with another content of this part, which stands at its end if it was missing."""
    marked = f"<!-- {part} -->\n{content.strip()}\n<!-- /{part} -->"
    pattern = re.compile(rf"<!-- {part} -->.*?<!-- /{part} -->", re.DOTALL)
    if not pattern.search(text):
        return f"{text.rstrip()}\n\n{marked}\n".lstrip()
    return pattern.sub(lambda _: marked, text)


def scenarios_markdown(families: Mapping[str, Sequence[Scenario]] = FAMILIES) -> str:
    """The rules, and each scenario with its promise, its judges and the test that plays it."""
    rules = [[name, _sentence(rule.__doc__ or "", name)] for name, rule in RULES.items()]
    scenarios = [
        [
            f"`{scenario.name}`",
            scenario.promise,
            _judges(scenario),
            "any" if scenario.is_safe else "its own",
            f"`tests/chaos/test_{family}.py`",
        ]
        for family, members in families.items()
        for scenario in members
    ]
    return "\n\n".join(
        [
            _table(["rule", "holds after every round"], rules),
            _table(["scenario", "promise", "judged by", "store", "short round in"], scenarios),
        ]
    )


def _judges(scenario: Scenario) -> str:
    """All rules, and what the scenario has to say itself."""
    rules = list(RULES)
    own = "" if scenario.judge is rules_alone else " ".join((scenario.judge.__doc__ or "").split())
    bounds = "; ".join(f"{name}: {bound:g} s" for name, bound in scenario.bounds.items())
    return "; ".join(part for part in (f"{rules[0]}–{rules[-1]}", own.rstrip("."), bounds) if part)


def _sentence(docstring: str, name: str) -> str:
    """`I1: every …` without the name."""
    return " ".join(docstring.removeprefix(f"{name}: ").split())


def report_markdown(report: Report) -> str:
    """Verdict, surroundings, a row per scenario, what was measured, what was broken."""
    total, versions = report.total(), report.versions()
    verdict = "No promise was broken" if report.is_good else "**Promises were broken**"
    parts = [
        f"{verdict}: {total.jobs:,} jobs, {total.attempts:,} attempts and {total.kills:,} kills in "
        f"{total.rounds:,} rounds of {len(report.rows())} scenarios, {total.violations:,} "
        f"violations; {report.seconds / 60:.0f} minutes, seed {report.seed}.",
        f"{report.begun_at:%Y-%m-%d %H:%M} UTC; jobrunner {versions['jobrunner']}, Python "
        f"{versions['python']}, {versions['server']}, {versions['kernel']}, "
        f"{versions['cpus']} CPUs.",
        _table(ROW_HEADINGS, [row_cells(row) for row in (*report.rows(), total)]),
    ]
    if figures := report.figures():
        parts.append(_table(FIGURE_HEADINGS, [figure_cells(figure) for figure in figures]))
    if breaks := report.breaks():
        parts.append("\n".join(f"- {_broken(each)}" for each in breaks))
    return "\n\n".join(parts)


ROW_HEADINGS = (
    "scenario",
    "rounds",
    "jobs",
    "attempts",
    "repeats",
    "kills",
    "other faults",
    "violations",
)
FIGURE_HEADINGS = ("scenario", "measured", "times", "median", "longest", "bound")


def row_cells(row: Row) -> list[str]:
    """For ROW_HEADINGS."""
    numbers = (row.rounds, row.jobs, row.attempts, row.repeats, row.kills, row.other_faults)
    return [row.name, *(f"{number:,}" for number in (*numbers, row.violations))]


def figure_cells(figure: Figure) -> list[str]:
    """For FIGURE_HEADINGS."""
    return [
        figure.scenario,
        figure.name,
        f"{figure.times:,}",
        f"{figure.median:.2f} s",
        f"{figure.longest:.2f} s",
        f"{figure.bound:g} s" if figure.bound is not None else "",
    ]


def _broken(each: Break) -> str:
    return f"`{each.scenario}`, seed {each.seed}: {each.what} (`{each.repeat}`)"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
