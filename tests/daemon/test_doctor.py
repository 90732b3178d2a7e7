"""`doctor` beside a real daemon: all is well, a reload is due, and a repair under load."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from jobrunner.model import JobState, Priority
from jobrunner.store.audit import audit, mend
from jobrunner.store.orphan import Kind
from tests.daemon.harness import Project, act, eventually

MANIFEST = f"""
name: demo
workers: {{processes: 2, slots: 4, drain: 5s}}  # shorter than a container's engine waits
tasks:
  act: {act()}
  note: {{command: [sh, -c, "echo $JOBRUNNER_JOB_ID >> witness"]}}
"""
JOBS = 120


@pytest.fixture
def demo() -> Iterator[Project]:
    with Project(MANIFEST) as project:
        project.start()
        yield project


def findings(demo: Project) -> dict[str, Any]:
    """Check -> finding."""
    told = demo.cli("doctor", "--json").json
    return {finding["check"]: finding for finding in told["findings"]}


def test_beside_a_daemon_that_is_well_nothing_is_wrong(demo: Project) -> None:
    demo.ended(demo.act("true"))

    result = demo.cli("doctor").ok()

    assert {line.split()[0] for line in result.out.splitlines()} == {"ok"}


def test_a_changed_command_makes_a_reload_due(demo: Project) -> None:
    demo.write(MANIFEST.replace("echo", "printf"))
    before = findings(demo)["reload"]

    demo.cli("reload").ok()

    assert (before["level"], before["fix"]) == ("warning", "`jobrunner reload`")
    assert eventually(lambda: findings(demo)["reload"]["level"] == "ok")


def test_a_repair_beside_working_daemons_loses_nothing_and_runs_nothing_twice(
    demo: Project,
) -> None:
    ids = [demo.submit("note") for _ in range(JOBS)]
    stream = demo.keys.queue("default", Priority.NORMAL)
    mended: Counter[Kind] = Counter()

    def are_done() -> bool:
        for entry_id, _ in demo.execute("XRANGE", stream, "-", "+", "COUNT", "3"):
            demo.execute("XDEL", stream, entry_id.decode())
        orphans = demo.store.run(audit(demo.keys))
        mended.update(orphan.kind for orphan in demo.store.run(mend(demo.keys, orphans)))
        return int(demo.execute("ZCARD", demo.keys.done(JobState.COMPLETED))) == JOBS

    eventually(are_done, within=30)

    assert sorted(demo.lines()) == sorted(ids)
    assert mended[Kind.NO_ENTRY] > 0
    assert demo.store.run(audit(demo.keys)) == []
