"""A real daemon whose clock is ahead and is corrected: its crons go on, none twice."""

import mmap
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.harness import Project, eventually

# Loaded into the daemon and its server: what they take for the time is ahead by what a file says.
SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *ahead;
static long seconds_ahead(void) {
  if (!ahead) {
    const char *path = getenv("AHEAD");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    void *found = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found == MAP_FAILED) return 0;
    ahead = found;
  }
  return *ahead;
}
int clock_gettime(clockid_t clock, struct timespec *at) {
  int result = syscall(SYS_clock_gettime, clock, at);
  if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    at->tv_sec += seconds_ahead();
  return result;
}
int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
"""
MANIFEST = """
workers: {processes: 1}
tasks: {report: {command: ["true"]}}
crons: {beat: {task: report, every: 1s, misfire: skip}}
"""
YEAR_S = 365 * 86_400
AHEAD_S = (90, YEAR_S)


class ShiftedClock:
    """How far the clock of what runs with its environment is ahead."""

    def __init__(self, folder: Path, library: Path) -> None:
        path = folder / "ahead"
        path.write_bytes(bytes(8))
        self.environ = {"AHEAD": str(path), "LD_PRELOAD": str(library)}
        self._file = path.open("r+b")
        self._memory = mmap.mmap(self._file.fileno(), 8)

    def set(self, seconds: int) -> None:
        self._memory[:] = struct.pack("q", seconds)

    def close(self) -> None:
        self._memory.close()
        self._file.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or os.uname().sysname != "Linux":
        pytest.skip("no compiler to shift a clock with")
    folder = tmp_path_factory.mktemp("shift")
    (folder / "shift.c").write_text(SOURCE)
    args = [
        compiler,
        "-O2",
        "-shared",
        "-fPIC",
        "-o",
        str(folder / "s.so"),
        str(folder / "shift.c"),
    ]
    subprocess.run(args, check=True)
    return folder / "s.so"


@pytest.fixture
def clock(tmp_path: Path, library: Path) -> Iterator[ShiftedClock]:
    opened = ShiftedClock(tmp_path, library)
    yield opened
    opened.close()


@pytest.mark.parametrize("ahead_s", AHEAD_S)
def test_crons_fire_within_seconds_after_a_clock_that_was_ahead_is_corrected(
    clock: ShiftedClock, ahead_s: int
) -> None:
    with Project(MANIFEST) as project:
        clock.set(ahead_s)
        daemon = project.start(environ=clock.environ)
        eventually(lambda: len(beats(project)) >= 2, 20)
        ahead = set(beats(project))

        clock.set(0)

        eventually(lambda: len(set(beats(project)) - ahead) >= 6, 15)
        assert daemon.process.poll() is None
        fired = re.findall(r"INFO fired job_id=(\S+)", daemon.log())
        assert len(fired) == len(set(fired))
        assert "set back a cron that was handled ahead" in daemon.log()
        [said] = project.json("why", "beat")
        assert said["code"] == "fires"
        assert said["facts"]["set_back_from"] is not None
        eventually(lambda: "ok       crons" in project.cli("doctor").out, 10)


def beats(project: Project) -> list[str]:
    return [job.id for job in project.jobs() if job.id.startswith("beat@")]
