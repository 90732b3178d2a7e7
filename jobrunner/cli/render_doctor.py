"""What `doctor` found, as text and as JSON."""

from collections.abc import Sequence
from typing import Any

from jobrunner.cli.foreign import escaped
from jobrunner.doctor.finding import Finding, Level
from jobrunner.store.orphan import Kind, Orphan

MOST_SHOWN = 50  # orphans; after some great mishap there may be thousands alike
_COLOURS = {Level.OK: "36", Level.WARNING: "33", Level.PROBLEM: "1;31"}

WORDS: dict[Kind, str] = {
    Kind.NO_ENTRY: "is in no queue: will be queued again",
    Kind.NOT_INDEXED: "is missing in the index of its state: will be added",
    Kind.ASLEEP: "waits for what will not come: will be looked at now",
    Kind.NO_STATE: "has no state or no message: will be kept aside",
    Kind.STALE_ENTRY: "has an entry in a queue that is not its own: will be removed",
    Kind.GHOST: "is claimed in a queue, and not there: the claim will be removed",
    Kind.STALE_MEMBER: "is in an index where it does not belong: will be removed",
    Kind.STALE_LOCK: "has a lock, or waits for one, and cannot: will be removed",
    Kind.STALE_WATCHERS: "did not tell who waits for its end: will tell",
    Kind.LEFTOVER: "is gone and left output or a key: will be deleted",
    Kind.WRONG_COUNT: "is a wrong count: will be corrected",
    Kind.WRONG_TYPE: "will be deleted, or kept aside if nothing tells the same",
    Kind.DAMAGED: "cannot be read: will be taken out",
    Kind.AHEAD: "is ahead of the store's clock: will be set back",
}


def findings_text(findings: Sequence[Finding], colours: bool) -> str:
    """A line per check, with why and fix below those that are not ok; escaped."""
    width = max(len(finding.check) for finding in findings)
    return "\n".join(_finding_text(finding, width, colours) for finding in findings)


def _finding_text(finding: Finding, width: int, colours: bool) -> str:
    level = f"{finding.level:<7}"
    if colours:
        level = f"\x1b[{_COLOURS[finding.level]}m{level}\x1b[0m"
    lines = [f"{level}  {finding.check:<{width}}  {escaped(finding.what)}"]
    lines += [
        f"{'':9}{name}: {escaped(text)}"
        for name, text in (("why", finding.why), ("fix", finding.fix))
        if text
    ]
    return "\n".join(lines)


def orphans_text(orphans: Sequence[Orphan]) -> str:
    """A line per orphan: what it is, what will be done, and where it stands in the store."""
    lines = [_orphan_text(orphan) for orphan in orphans[:MOST_SHOWN]]
    left = len(orphans) - MOST_SHOWN
    return "\n".join([*lines, f"… and {left} more; `--json` lists them all"] if left > 0 else lines)


def _orphan_text(orphan: Orphan) -> str:
    detail = f" ({orphan.detail})" if orphan.detail else ""
    return f"{orphan.job_id or orphan.id}{detail} {WORDS[orphan.kind]}: {orphan.key}"


def doctor_json(
    findings: Sequence[Finding], orphans: Sequence[Orphan], mended: Sequence[Orphan]
) -> dict[str, Any]:
    """As docs/json.md promises it; `orphans` are those that are left."""
    worst = max((finding.level for finding in findings), key=list(Level).index)
    return {
        "level": worst,
        "findings": [
            {
                "check": finding.check,
                "level": finding.level,
                "what": finding.what,
                "why": finding.why,
                "fix": finding.fix,
            }
            for finding in findings
        ],
        "orphans": [_orphan_json(orphan) for orphan in orphans],
        "mended": [_orphan_json(orphan) for orphan in mended],
    }


def _orphan_json(orphan: Orphan) -> dict[str, Any]:
    return {
        "kind": orphan.kind,
        "key": orphan.key,
        "id": orphan.id,
        "job_id": orphan.job_id or None,
        "detail": orphan.detail or None,
    }
