"""The manifest of a daemon under test, and what the rules have to know of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobrunner.chaos.evidence import Terms
from jobrunner.chaos.work import COMMAND

NAMESPACE = "chaos"
MS = {"ms": {"type": "integer"}}
OFTEN_LOST = 1000  # kills are frequent: no job may fail for having been near too many of them


@dataclass(frozen=True, slots=True)
class Kind:
    """A task: its keys in the manifest, and how long its jobs take, in milliseconds."""

    keys: Mapping[str, Any]
    shortest: int = 0
    longest: int = 0
    weight: float = 1.0  # of its jobs among all
    takes_ms: bool = True

    @property
    def terms(self) -> Terms:
        """What the rules have to know."""
        lock = self.keys.get("lock", {})
        return Terms(
            lock=lock.get("name"),
            slots=lock.get("slots", 1),
            attempts=self.keys.get("retry", {}).get("attempts", 1),
            max_lost=self.keys.get("max_lost", OFTEN_LOST),
        )


def _python(function: str) -> str:
    return f"jobrunner.chaos.work:{function}"


def usual_tasks(lock_ttl_s: float = 2) -> dict[str, Kind]:
    """Every way of running a job, with locks and retries."""

    def lock(name: str, conflict: str, slots: int = 1) -> dict[str, Any]:
        return {"name": name, "ttl": f"{lock_ttl_s}s", "slots": slots, "conflict": conflict}

    command = {"shell": COMMAND, "params": MS}
    retry = {"attempts": 4, "delay": "0.2s", "max_delay": "1s"}
    return {
        "quick": Kind({"python": _python("quick")}, weight=20, takes_ms=False),
        "work": Kind({"python": _python("work")}, 5, 900, weight=10),
        "each": Kind({"python": _python("work"), "ack": "each"}, 5, 300, weight=2),
        "eager": Kind({"python": _python("work"), "record": "eager"}, 5, 300, weight=2),
        "hosted": Kind({"python": _python("hosted")}, 5, 700, weight=6),
        "command": Kind(command, 0, 900, weight=4),
        "flaky": Kind({"python": _python("flaky"), "retry": retry}, 5, 100, weight=3),
        "one": Kind({"python": _python("work"), "lock": lock("one", "wait")}, 20, 300, 0.7),
        "one-command": Kind({**command, "lock": lock("one", "wait")}, 50, 300, 0.4),
        "two": Kind({"python": _python("hosted"), "lock": lock("two", "wait", 2)}, 20, 500, 0.8),
        "two-command": Kind({**command, "lock": lock("two", "wait", 2)}, 50, 400, 0.5),
        "skip": Kind({"python": _python("work"), "lock": lock("skip", "skip", 2)}, 50, 500, 0.8),
    }


@dataclass(frozen=True, slots=True)
class Declaration:
    """All that a round's manifests say."""

    tasks: Mapping[str, Kind] = field(default_factory=usual_tasks)
    crons: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    processes: int = 2
    slots: int = 8
    drain: str = "1s"
    durability: str = "everysec"
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def terms(self) -> dict[str, Terms]:
        return {name: kind.terms for name, kind in self.tasks.items()}


def manifest_text(declaration: Declaration, url: str | None, name: str = NAMESPACE) -> str:
    """A manifest, with the store at `url`, or an embedded one. JSON is YAML."""
    store: dict[str, Any] = {"durability": declaration.durability}
    return json.dumps(
        {
            "name": name,
            "store": {"url": url} if url else store,
            "workers": {
                "processes": declaration.processes,
                "slots": declaration.slots,
                "drain": declaration.drain,
            },
            "defaults": {"kill_grace": "0.3s", "max_lost": OFTEN_LOST, **declaration.defaults},
            "retention": {"completed": "1d", "failed": "1d", "jobs": 10_000_000},
            "tasks": {name: kind.keys for name, kind in declaration.tasks.items()},
            "crons": declaration.crons,
        },
        indent=1,
    )


def every_second(names: Sequence[str], task: str, **keys: Any) -> dict[str, dict[str, Any]]:
    """Crons that fire each second."""
    return {name: {"task": task, "cron": "* * * * * *", **keys} for name in names}
