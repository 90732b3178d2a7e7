"""Names: of namespaces, tasks, crons, queues, parameters and time zones.

A name stands in keys of the store, in names of files and units, on command lines and in messages.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

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


_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}", re.ASCII)
_FIXED = re.compile(r"(?:GMT|UTC?|Z)?([+-])(?:0?(\d)|(1[0-4]))(?::?00)?", re.ASCII | re.IGNORECASE)
# Names that the database's folder has beside the zones: another zone on each machine.
_OF_THE_MACHINE = frozenset(["local", "localtime", "system", "posixrules"])


def find_zone(name: str) -> ZoneInfo | None:
    """The zone of the time zone database by that name."""
    try:
        return ZoneInfo(name) if _ZONE.fullmatch(name) else None
    except (KeyError, ValueError, OSError):  # unknown; not a name; the name of a folder
        return None


@lru_cache(maxsize=1)  # it takes 15 ms; only the advice for a wrong name may be out of date
def zone_names() -> frozenset[str]:
    """The zones of the time zone database."""
    return frozenset(available_timezones())


def zone_advice(name: str) -> str | None:
    """What to write for a fixed offset, or for the zone of the machine; None for other names."""
    if name.lower() in _OF_THE_MACHINE:
        return "write the zone's own name, e.g. 'Europe/Berlin': daemons must agree on it"
    if (fixed := _FIXED.fullmatch(name)) and (hours := int(fixed[2] or fixed[3])):
        # POSIX counts hours west of Greenwich.
        zone = f"Etc/GMT{'-' if fixed[1] == '+' else '+'}{hours}"
        if find_zone(zone) is not None:
            return (
                f"write a place, e.g. 'Europe/Berlin', or {zone!r}, which is UTC{fixed[1]}{hours}"
            )
    return None


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
