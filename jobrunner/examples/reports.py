"""A report as a Python function: which kinds of files fill a folder."""

import csv
import stat
from collections import Counter
from pathlib import Path

from jobrunner import task
from jobrunner.examples.folder import example_folder


@task(timeout="5m", lock_ttl="2m")
def report_file_types(folder: str = ".", top: int = 10) -> dict[str, int | str]:
    """Write a CSV file with the kinds of files that take most space in a folder.

    The result has the path of the CSV file, the number of files and their bytes.
    """
    counts, sizes = _measure(Path(folder))
    report = example_folder() / "file-types.csv"
    with report.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["type", "files", "bytes"])
        for kind, size in sizes.most_common(top):
            writer.writerow([kind, counts[kind], size])
            print(f"{kind:<12} {counts[kind]:>8,} files {size:>16,} bytes")
    return {"report": str(report), "files": counts.total(), "bytes": sizes.total()}


def _measure(folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Number and bytes of the files below a folder, by suffix."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder.absolute()} is not a folder")
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for path in folder.rglob("*"):
        try:
            status = path.lstat()
        except OSError:
            continue  # it has vanished meanwhile, or is not ours to see
        if stat.S_ISREG(status.st_mode):
            kind = path.suffix or "(none)"
            counts[kind] += 1
            sizes[kind] += status.st_size
    return counts, sizes
