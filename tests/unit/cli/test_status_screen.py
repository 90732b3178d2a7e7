"""The status screen: what it says, and what it leaves out when there is little room."""

import io
from datetime import UTC, timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from jobrunner.cli.columns import Column, fitted_widths
from jobrunner.cli.render_status import MOST_ROWS, status_screen, visible_rows
from jobrunner.model import JobState, Reason
from jobrunner.store.overview import LiveCounts, Overview, QueueView
from tests.unit.cli.values import MINUTE, NOW, a_cron, a_task, a_worker, an_end, an_overview


def shown(overview: Overview, width: int = 80, height: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(status_screen(overview, width, UTC, height))
    return capture.get()


def busy_overview() -> Overview:
    return an_overview(
        queues=[QueueView("default", 1, 12, 0, 3), QueueView("web", 0, 0, 0, 0)],
        tasks=[
            a_task(
                name="backup",
                last=an_end(state=JobState.FAILED, reason=Reason.TIMEOUT),
                usual_duration=timedelta(hours=1),
                counts=LiveCounts(scheduled=4, blocked=5, queued=6, running=7),
                lock_holder="k3f9x2mq7pab",
            ),
            a_task(name="cleanup", kind="python"),
        ],
        crons=[
            a_cron(),
            a_cron(name="cleanup", task="cleanup", words="every 5 minutes", timezone="UTC"),
        ],
    )


def test_a_row_says_when_next_how_last_and_what_goes_on() -> None:
    backup = next(line for line in shown(busy_overview(), 200).splitlines() if "1h00m" in line)

    assert " ".join(backup.split()) == (
        "backup on submit failed (timeout) 2m ago 4.2s 1h00m 7 6 5 4 k3f9x2mq7pab"
    )
    assert "nightly-backup  daily at 02:00 Berlin  in 3m" in shown(busy_overview(), 200)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = shown(busy_overview(), width).splitlines()

    assert max(cell_len(line) for line in lines) <= width


def test_80_columns_keep_what_matters_most() -> None:
    header = next(line for line in shown(busy_overview(), 80).splitlines() if "NAME" in line)

    assert header.split() == ["NAME", "SCHEDULE", "NEXT", "LAST", "TOOK", "RUN", "QUEUED"]


def test_a_column_without_content_is_not_shown() -> None:
    screen = shown(an_overview(crons=[a_cron()]), 200)

    assert "SCHEDULE" in screen
    assert all(title not in screen for title in ("RUN", "QUEUED", "LOCK", "LATER", "TOOK"))


def test_a_cron_stands_for_the_task_of_its_name() -> None:
    names = [row.name for row in visible_rows(busy_overview())]

    assert names == ["nightly-backup", "cleanup", "backup"]


def test_rows_that_do_not_fit_the_height_are_counted() -> None:
    overview = an_overview(tasks=[a_task(name=f"task-{number}") for number in range(30)])

    screen = shown(overview, 80, height=20)

    assert len(screen.splitlines()) <= 20
    assert "… 16 more rows" in screen


def test_thousands_of_rows_are_cut_and_counted_and_those_that_tell_something_stay() -> None:
    tasks = [a_task(name=f"task-{number:05}") for number in range(10_000)]
    tasks[7000] = a_task(name="busy", counts=LiveCounts(running=1))
    tasks[8000] = a_task(name="broken", last=an_end(state=JobState.FAILED))

    screen = shown(an_overview(tasks=tasks), 80)

    assert len(screen.splitlines()) < MOST_ROWS + 10
    assert f"… {10_000 - MOST_ROWS + 1:,} more rows" in screen
    assert "\nbusy " in screen
    assert "\nbroken " in screen


def test_a_missing_daemon_is_loud() -> None:
    screen = shown(an_overview(daemons=[], workers=[], crons=[a_cron()]))

    assert " daemon not running " in screen
    assert "`jobrunner run` starts it" in screen


def test_a_fire_time_that_nobody_handled_is_not_shown_as_coming() -> None:
    screen = shown(an_overview(crons=[a_cron(next_fire_at=NOW - 5 * MINUTE)]))

    assert "5m ago" in screen


def test_paused_and_disabled_crons_say_so() -> None:
    screen = shown(
        an_overview(crons=[a_cron(is_paused=True), a_cron(name="old", is_enabled=False)])
    )

    assert "paused" in screen
    assert "disabled" in screen
    assert "in 3m" not in screen


def test_a_worker_whose_lease_ended_counts_as_lost() -> None:
    lost = a_worker(id="w2", lease_ends_at=NOW - MINUTE)

    screen = shown(an_overview(workers=[a_worker(busy=3), lost]))

    assert "1 worker, 3 of 64 slots busy, 1 lost" in screen


def test_only_queues_with_waiting_jobs_are_told() -> None:
    screen = shown(busy_overview())

    assert "queue default: 13 waiting (1 high, 12 normal), 3 claimed" in screen
    assert "queue web" not in screen


def test_an_empty_namespace_says_what_is_missing() -> None:
    assert "no daemon has run here yet" in shown(an_overview(daemons=[], workers=[]))
    assert "the manifest declares no tasks" in shown(an_overview())


def test_the_least_important_column_shrinks_first_and_leaves_first() -> None:
    columns = (Column("A", 0, least=2), Column("B", 2, least=2), Column("C", 1, least=2))

    assert fitted_widths(columns, (4, 4, 4), 16) == {0: 4, 1: 4, 2: 4}
    assert fitted_widths(columns, (4, 4, 4), 15) == {0: 4, 1: 3, 2: 4}
    assert fitted_widths(columns, (4, 4, 4), 13) == {0: 4, 1: 2, 2: 3}
    assert fitted_widths(columns, (4, 4, 4), 10) == {0: 2, 1: 2, 2: 2}
    assert fitted_widths(columns, (4, 4, 4), 9) == {0: 4, 2: 3}
    assert fitted_widths(columns, (4, 4, 4), 1) == {0: 2}
