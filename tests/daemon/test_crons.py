"""Crons: one job per fire time whoever fires it, policies, pause, trigger, restarts."""

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from jobrunner.model import JobState
from tests.daemon.harness import ExternalServer, Project, act, eventually

Projects = Callable[..., Project]

EVERY_SECOND = '"* * * * * *"'
TASKS = f"""
name: demo
workers: {{processes: 1, slots: 16}}
tasks:
  act: {act("kill_grace: 0.1s")}
crons:
"""


def cron(name: str, script: str, options: str = "", schedule: str = EVERY_SECOND) -> str:
    """A line of the manifest."""
    params = f"params: {{script: '{script}'}}"
    return f"  {name}: {{task: act, cron: {schedule}, {params}, {options}}}\n"


def of(demo: Project, name: str) -> list[dict[str, Any]]:
    """The jobs of a cron in the order of their fire times."""
    jobs = [job for job in demo.jobs() if job["cron"] == name]
    return sorted(jobs, key=lambda job: str(job["fire_time"]))


def fire_times(jobs: list[dict[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(job["fire_time"]) for job in jobs]


def test_each_fire_time_makes_one_job_however_many_daemons_fire(
    project: Projects, server: ExternalServer
) -> None:
    manifest = f"store: {{url: '{server.url}'}}{TASKS}" + cron("each", "echo $JOBRUNNER_FIRE_TIME")
    first, second = project(manifest), project(manifest)
    first.start()
    crashing = second.start()

    eventually(lambda: len(of(first, "each")) >= 3)
    crashing.kill()
    eventually(lambda: len(of(first, "each")) >= 5)

    jobs = of(first, "each")
    times = fire_times(jobs)
    assert times == [times[0] + timedelta(seconds=n) for n in range(len(times))]
    assert [job["id"] for job in jobs] == [f"each@{job['fire_time']}" for job in jobs]
    ended = first.all_ended([job["id"] for job in jobs])
    assert {job.state for job in ended} == {JobState.COMPLETED}
    for job in ended:
        [line] = first.client.logs(job.id)
        assert job.id == f"each@{line.text}"


def test_policies_of_overlap(project: Projects) -> None:
    demo = project(
        TASKS
        + cron("skipping", "sleep 600", "overlap: skip")
        + cron("queueing", "sleep 1.5", "overlap: queue")
        + cron("replacing", "sleep 600", "overlap: replace")
        + cron("allowing", "sleep 600", "overlap: allow")
        + cron("paused", "true")
    )
    demo.start()
    demo.cli("pause", "paused").ok()
    paused_at = datetime.now(UTC)

    eventually(lambda: len(of(demo, "allowing")) >= 4)

    # skip: the first one runs, all others are recorded with the reason
    first, *others = of(demo, "skipping")
    assert first["state"] == "running"
    assert {(job["state"], job["reason"]) for job in others} == {("skipped", "overlap")}
    # queue: one after the other
    states = [job["state"] for job in of(demo, "queueing")]
    assert sorted(states, key=["completed", "running", "queued", "blocked"].index) == states
    assert states.count("running") <= 1
    assert "blocked" in states
    # replace: only the newest lives
    *replaced, _ = of(demo, "replacing")
    eventually(lambda: {demo.job(job["id"]).state for job in replaced[:-1]} == {JobState.CANCELLED})
    assert {demo.job(job["id"]).reason for job in replaced[:-1]} == {"replaced"}
    # allow: all run together
    assert {job["state"] for job in of(demo, "allowing")[:-1]} == {"running"}
    # pause: nothing fires, and nothing is made up for later
    assert [time for time in fire_times(of(demo, "paused")) if time > paused_at] == []

    triggered = demo.json("trigger", "paused")
    demo.cli("resume", "paused").ok()
    resumed_at = datetime.now(UTC)

    assert demo.ended(triggered["id"]).cron == "paused"
    eventually(lambda: [t for t in fire_times(_timed(demo, "paused")) if t > resumed_at])
    assert [
        time for time in fire_times(_timed(demo, "paused")) if paused_at < time < resumed_at
    ] == []


def _timed(demo: Project, name: str) -> list[dict[str, Any]]:
    return [job for job in of(demo, name) if job["fire_time"]]


def test_a_downtime_is_made_up_for_as_the_misfire_policy_says(project: Projects) -> None:
    names = ("once", "skip", "all")
    demo = project(
        TASKS
        + "".join(cron(name, "true", f"misfire: {name}, grace: 1s") for name in names)
        + cron("boot", "true", schedule='"@reboot"')
    )
    daemon = demo.start()
    eventually(lambda: all(of(demo, name) for name in names))
    daemon.stop()
    stopped_at = datetime.now(UTC)

    eventually(lambda: datetime.now(UTC) > stopped_at + timedelta(seconds=4))
    demo.start()
    started_at = datetime.now(UTC)
    for name in names:
        _wait_for_a_fire_time_after(started_at, demo, name)

    assert {name: _misfires(demo, name) for name in names} == {"once": 1, "skip": 1, "all": 0}
    assert all(_every_second_is_accounted_for(demo, name) for name in names)
    # @reboot: once per boot of the machine, whatever the number of starts
    assert len([job for job in demo.jobs() if job["cron"] == "boot"]) == 1


def test_a_supervisor_that_was_stopped_replays_nothing_as_if_it_were_live(
    project: Projects,
) -> None:
    demo = project(TASKS + cron("each", "true", "misfire: skip, grace: 1s"))
    daemon = demo.start()
    eventually(lambda: of(demo, "each"))

    daemon.signal(signal.SIGSTOP)
    stopped_at = datetime.now(UTC)
    eventually(lambda: datetime.now(UTC) > stopped_at + timedelta(seconds=3.5))
    daemon.signal(signal.SIGCONT)
    continued_at = datetime.now(UTC)
    _wait_for_a_fire_time_after(continued_at, demo, "each")

    assert _misfires(demo, "each") == 1
    assert _every_second_is_accounted_for(demo, "each")


def _wait_for_a_fire_time_after(instant: datetime, demo: Project, name: str) -> None:
    eventually(lambda: fire_times(of(demo, name))[-1] > instant)


def _misfires(demo: Project, name: str) -> int:
    """Rows of fire times that were skipped."""
    return [job["reason"] for job in of(demo, name)].count("misfire")


def _every_second_is_accounted_for(demo: Project, name: str) -> bool:
    """Each fire time of a cron of every second made a job, or is counted in a row of misfires."""
    jobs = of(demo, name)
    rows = [demo.job(job["id"]).detail or "" for job in jobs if job["reason"] == "misfire"]
    count = len(jobs) - len(rows) + sum(int(row.split()[0]) for row in rows)
    first, *_, last = fire_times(jobs)
    return last - first == timedelta(seconds=count - 1)


def test_a_job_in_a_cron_sees_the_parameters_of_its_fire_time(project: Projects) -> None:
    manifest = TASKS.replace("crons:\n", "") + (
        '  dated: {command: ["echo", "{day}"], params: {day: {type: date, default: today}}}\n'
        'crons:\n  far: {task: dated, cron: "* * * * * *", timezone: Pacific/Kiritimati}\n'
    )
    demo = project(manifest)
    demo.start()

    eventually(lambda: len(of(demo, "far")) >= 1)

    [job, *_] = of(demo, "far")
    demo.ended(job["id"])
    kiritimati = datetime.fromisoformat(job["fire_time"]) + timedelta(hours=14)
    assert [line.text for line in demo.client.logs(job["id"])] == [str(kiritimati.date())]
