"""Rounds of scenarios, played side by side: most of a round is waiting for processes."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from jobrunner.chaos.load import Habits
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.suite import Outcome, perform

SEED = 7
PER_S = 20.0  # of clients; what jobs cost is mostly their processes


def play(scenarios: Sequence[Scenario], seconds: float) -> Mapping[str, Outcome]:
    """The outcome of one short round of each, by the scenario's name."""
    with ThreadPoolExecutor(len(scenarios)) as pool:
        rounds = [pool.submit(perform, _small(each), SEED, seconds) for each in scenarios]
    return {each.result().scenario.name: each.result() for each in rounds}


def _small(scenario: Scenario) -> Scenario:
    """The same with one worker per daemon, and few jobs."""
    setting = scenario.setting()
    small = replace(
        setting,
        declaration=replace(setting.declaration, processes=1),
        habits=replace(setting.habits or Habits(), per_s=PER_S, bulk=10),
    )
    return replace(scenario, setting=lambda: small)


def violations(outcome: Outcome) -> list[str]:
    """What was broken, for people."""
    return [str(violation) for violation in outcome.violations]
