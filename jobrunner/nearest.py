"""What a mistyped name may have meant: the nearest of those that are known. Pure."""

from collections.abc import Collection

MOST_NAMED = 10  # a message is read by a person; there may be thousands of names
LONGEST = 100  # characters compared: the time grows with their square


def nearest(name: str, known: Collection[str]) -> list[str]:
    """Those of the names that are like it, the nearest first; at most ten."""
    # Imported here: only a wrong name pays for it.
    from difflib import get_close_matches

    return get_close_matches(name[:LONGEST], known, MOST_NAMED)


def named(known: Collection[str], near: Collection[str]) -> str:
    """The names in order; of too many only the near ones, or the first, and how many are left."""
    if len(known) <= MOST_NAMED:
        return ", ".join(sorted(known))
    shown = sorted(near or sorted(known)[:MOST_NAMED])
    return f"{', '.join(shown)} and {len(known) - len(shown):,} more"
