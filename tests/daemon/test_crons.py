"""Crons: one job per fire time whoever fires it, policies, pause, trigger, restarts."""

import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from jobrunner.clock import rfc3339
from jobrunner.model import Job, JobState, Reason
from tests.daemon.harness import ExternalServer, Project, act, eventually

Projects = Callable[..., Project]

EVERY_SECOND = '"* * * * * *"'
TASKS = f"""
name: demo
workers: {{processes: 1, slots: 64}}
tasks:
  act: {act("kill_grace: 0.1s")}
crons:
"""


# Fails when an earlier one still runs; it must be killed, since it does not listen.
REPLACEABLE = 'trap "" TERM; exec flock -n replacing.lock sleep 600'


def cron(name: str, script: str, options: str = "", schedule: str = EVERY_SECOND) -> str:
    """A line of the manifest."""
    params = f"params: {{script: '{script}'}}"
    return f"  {name}: {{task: act, cron: {schedule}, {params}, {options}}}\n"


def of(demo: Project, name: str) -> list[Job]:
    """The jobs of a cron's fire times, in their order."""
    jobs = [job for job in demo.jobs() if job.cron == name and job.fire_time is not None]
    return sorted(jobs, key=_fire_time)


def fire_times(jobs: list[Job]) -> list[datetime]:
    return [_fire_time(job) for job in jobs]


def _fire_time(job: Job) -> datetime:
    assert job.fire_time is not None
    return job.fire_time


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
    assert [job.id for job in jobs] == [f"each@{rfc3339(_fire_time(job))}" for job in jobs]
    ended = first.all_ended([job.id for job in jobs])
    assert {job.state for job in ended} == {JobState.COMPLETED}
    for job in ended:
        [line] = first.client.logs(job.id)
        assert job.id == f"each@{line.text}"


@pytest.fixture(scope="module")
def ticking() -> Iterator[Project]:
    """Crons of every second that have fired a few times."""
    with Project(
        TASKS
        + cron("skipping", "sleep 600", "overlap: skip")
        + cron("queueing", "sleep 1.5", "overlap: queue")
        + cron("replacing", REPLACEABLE, "overlap: replace")
        + cron("allowing", "sleep 600", "overlap: allow")
        + cron("paused", "true")
        + cron("yearly", "echo $JOBRUNNER_FIRE_TIME", schedule='"0 4 1 1 *"')
    ) as demo:
        demo.start()
        eventually(lambda: len(of(demo, "allowing")) >= 4)
        yield demo


def test_overlap_skip_records_each_fire_time_while_the_previous_job_runs(ticking: Project) -> None:
    first, *others = of(ticking, "skipping")

    assert first.state is JobState.RUNNING
    assert {(job.state, job.reason, job.detail) for job in others} == {
        (JobState.SKIPPED, Reason.OVERLAP, first.id)
    }


def test_overlap_queue_runs_one_job_after_the_other(ticking: Project) -> None:
    states = [job.state for job in of(ticking, "queueing")]

    order = [JobState.COMPLETED, JobState.RUNNING, JobState.QUEUED, JobState.BLOCKED]
    assert sorted(states, key=order.index) == states
    assert states.count(JobState.RUNNING) <= 1
    assert JobState.BLOCKED in states


def test_overlap_replace_cancels_the_previous_job(ticking: Project) -> None:
    replaced = [job.id for job in of(ticking, "replacing")][:-1]

    ended = ticking.all_ended(replaced)

    assert {(job.state, job.reason) for job in ended} == {(JobState.CANCELLED, Reason.REPLACED)}


def test_overlap_allow_runs_jobs_together(ticking: Project) -> None:
    states = {job.state for job in of(ticking, "allowing")[:-1]}

    assert states == {JobState.RUNNING}


def test_a_paused_cron_fires_by_hand_only_and_makes_up_for_nothing(ticking: Project) -> None:
    ticking.cli("pause", "paused").ok()
    paused_at = datetime.now(UTC)
    triggered = ticking.json("trigger", "paused")
    eventually(lambda: fire_times(of(ticking, "allowing"))[-1] > paused_at + timedelta(seconds=1))
    assert ticking.ended(triggered["id"]).cron == "paused"

    resumed_at = datetime.now(UTC)
    ticking.cli("resume", "paused").ok()

    _wait_for_a_fire_time_after(resumed_at, ticking, "paused")
    times = fire_times(of(ticking, "paused"))
    assert [time for time in times if paused_at < time < resumed_at] == []


def test_a_backfill_runs_the_jobs_of_past_fire_times_which_are_told_theirs(
    ticking: Project,
) -> None:
    span = ("--from", "2024-01-01", "--to", "2026-01-01")
    assert ticking.json("backfill", "yearly", *span)["submitted"] == 2
    assert ticking.json("backfill", "yearly", *span)["existing"] == 2

    ended = ticking.all_ended([f"yearly@{year}-01-01T04:00:00Z" for year in (2024, 2025)])

    lines = [line.text for job in ended for line in ticking.client.logs(job.id)]
    assert lines == ["2024-01-01T04:00:00Z", "2025-01-01T04:00:00Z"]
    assert fire_times(ended) == [datetime(year, 1, 1, 4, tzinfo=UTC) for year in (2024, 2025)]


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

    eventually(lambda: datetime.now(UTC) > stopped_at + timedelta(seconds=3))
    demo.start()
    started_at = datetime.now(UTC)
    for name in names:
        _wait_for_a_fire_time_after(started_at, demo, name)

    assert {name: _misfires(demo, name) for name in names} == {"once": 1, "skip": 1, "all": 0}
    assert all(_every_second_is_accounted_for(demo, name) for name in names)
    # @reboot: once per boot of the machine, whatever the number of starts
    assert [job.cron for job in demo.jobs()].count("boot") == 1


def test_a_supervisor_that_was_stopped_replays_nothing_as_if_it_were_live(
    project: Projects,
) -> None:
    demo = project(TASKS + cron("each", "true", "misfire: skip, grace: 1s"))
    daemon = demo.start()
    eventually(lambda: of(demo, "each"))

    daemon.signal(signal.SIGSTOP)
    stopped_at = datetime.now(UTC)
    eventually(lambda: datetime.now(UTC) > stopped_at + timedelta(seconds=2.5))
    daemon.signal(signal.SIGCONT)
    continued_at = datetime.now(UTC)
    _wait_for_a_fire_time_after(continued_at, demo, "each")

    assert _misfires(demo, "each") == 1
    assert _every_second_is_accounted_for(demo, "each")


def _wait_for_a_fire_time_after(instant: datetime, demo: Project, name: str) -> None:
    eventually(lambda: fire_times(of(demo, name))[-1] > instant)


def _misfires(demo: Project, name: str) -> int:
    """Rows of fire times that were skipped."""
    return [job.reason for job in of(demo, name)].count(Reason.MISFIRE)


def _every_second_is_accounted_for(demo: Project, name: str) -> bool:
    """Each fire time of a cron of every second made a job, or is counted in a row of misfires."""
    jobs = of(demo, name)
    rows = [job.detail or "" for job in jobs if job.reason is Reason.MISFIRE]
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

    [job, *_] = eventually(lambda: of(demo, "far"))

    demo.ended(job.id)
    kiritimati = _fire_time(job) + timedelta(hours=14)
    assert [line.text for line in demo.client.logs(job.id)] == [str(kiritimati.date())]
