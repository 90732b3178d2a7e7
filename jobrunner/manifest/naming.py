"""Names: of namespaces, tasks, crons, queues and parameters.

A name stands in keys of the store, in names of files and units, on command lines and in messages.
"""

import os
import re
from pathlib import Path

VALID_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_RULE = (
    "a name has up to 64 letters, digits, '.', '_' and '-', and starts with one of the first two"
)
FALLBACK = "jobs"  # for a folder whose name has no usable character, such as `/`

VALID_PARAM = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
PARAM_RULE = (
    "a parameter becomes an environment variable or a Python argument: its name has up to 64 "
    "letters, digits and '_', and does not start with a digit"
)


def is_valid_name(name: str) -> bool:
    return VALID_NAME.fullmatch(name) is not None


def is_valid_param(name: str) -> bool:
    return VALID_PARAM.fullmatch(name) is not None


def make_valid(text: str, fallback: str = FALLBACK) -> str:
    """The nearest valid name: `My Shop` gives `My-Shop`."""
    usable = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return usable[:64] or fallback


def default_name(manifest: Path) -> str:
    """The name of the manifest's folder, made valid."""
    return make_valid(os.path.basename(os.path.dirname(os.path.abspath(manifest))))
