"""Fire times of a cron, as a scheduler proposes them."""

from datetime import UTC, datetime
from typing import Any

from jobrunner.model import Priority
from jobrunner.store.crons import Fire, fire
from tests.store.factories import MESSAGE, Store

ONE = datetime(2026, 11, 21, 1, tzinfo=UTC)
TWO = datetime(2026, 11, 21, 2, tzinfo=UTC)
ID_ONE = "nightly@2026-11-21T01:00:00Z"
ID_TWO = "nightly@2026-11-21T02:00:00Z"


def a_fire(fire_time: datetime = ONE, **changes: Any) -> Fire:
    values: dict[str, Any] = {
        "cron": "nightly",
        "fire_time": fire_time,
        "task": "demo",
        "message": MESSAGE,
        "queue": "default",
        "priority": Priority.NORMAL,
    }
    return Fire(**values | changes)


def send(store: Store, *fires: Fire) -> list[str]:
    return [fired.what for fired in store.run(fire(store.keys, fires))]
