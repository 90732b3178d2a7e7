"""The peers' virtual environments, made when they are first needed and kept in a cache folder."""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

from benchmarks.failure import PeerFailed

PINS = Path(__file__).with_name("pins.toml")
INSTALL_S = 600.0
STAMP = "installed"  # exists once all is installed
SAID = 300  # characters of what pip said last, in an error


def interpreter(name: str, cache: Path) -> Path:
    """The Python of an environment of `pins.toml`. Raises PeerFailed."""
    pins = tomllib.loads(PINS.read_text())[name]
    # New pins or another Python make another environment; the old one is left to the user.
    key = hashlib.sha256(json.dumps([pins, sys.version]).encode()).hexdigest()[:8]
    folder = cache / f"{name}-{key}"
    python = folder / "bin" / "python"
    if not (folder / STAMP).exists():
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins)
        (folder / STAMP).touch()
    return python


def versions() -> str:
    """What is pinned, for people: `arq 0.28.0, redis 5.3.1, …; celery 5.7.0, …`."""
    pins = tomllib.loads(PINS.read_text())
    return "; ".join(", ".join(pins[name]).replace("==", " ") for name in sorted(pins))


def _run(*program: str) -> None:
    try:
        done = subprocess.run(
            program, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerFailed(f"cannot be installed: {error}") from error
    if done.returncode:
        raise PeerFailed(f"cannot be installed: {done.stderr.strip()[-SAID:]}")
