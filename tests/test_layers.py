"""Imports point up the list of layers only: a file imports lower layers, or its own package."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "jobrunner"

LAYERS: list[set[str]] = [
    {"errors", "clock", "log", "nearest", "patterns"},
    {"message"},
    {"model", "params", "context", "tasks"},
    {"manifest"},
    {"crons"},
    {"policy", "lateness"},
    {"store"},
    {"embedded", "state", "runner", "notify", "systemd", "firing"},
    {"discover", "locate", "explain"},
    {"client"},
    {"broker"},
    {"heartbeat", "scheduler", "rescuer"},
    {"worker"},
    {"daemon", "examples"},
    {"chaos"},
    {"bench"},
    {"doctor"},
    {"cli"},
]
LAYER_OF = {part: number for number, layer in enumerate(LAYERS) for part in layer}


def part_of(module: str) -> str | None:
    """`jobrunner.store.keys` -> `store`; None for what is not ours, or the package itself."""
    names = module.split(".")
    return names[1] if names[0] == "jobrunner" and len(names) > 1 else None


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.lineno, node.module or ""


def violations(root: Path) -> list[str]:
    found = []
    for path in sorted(root.rglob("*.py")):
        own = path.relative_to(root).with_suffix("").parts[0]
        if own in {"__init__", "__main__"}:
            continue
        if own not in LAYER_OF:
            found.append(f"{path}: not in a layer")
            continue
        for line, module in imports_of(path):
            part = part_of(module)
            if part is None or part == own:
                continue
            if part not in LAYER_OF or LAYER_OF[part] >= LAYER_OF[own]:
                found.append(f"{path}:{line}: {own} imports {module}")
    return found


def test_imports_point_up_the_layers_only() -> None:
    assert violations(PACKAGE) == []


def test_a_sideways_import_is_found(tmp_path: Path) -> None:
    (tmp_path / "scheduler.py").write_text("import jobrunner.worker\n")

    assert violations(tmp_path) == [
        f"{tmp_path}/scheduler.py:1: scheduler imports jobrunner.worker"
    ]
