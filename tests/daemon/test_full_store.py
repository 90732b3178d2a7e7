"""A store that is filled to the brim: it drains, tells what it refuses, and takes jobs again."""

from collections.abc import Callable

from jobrunner.errors import StoreFull
from jobrunner.model import JobState
from jobrunner.store.failures import ReplyError
from tests.daemon.harness import ExternalServer, Project, eventually

Projects = Callable[..., Project]
ROOM = 6 << 20  # bytes

MANIFEST = """
name: demo
store: {{url: "{url}"}}
workers: {{processes: 1, slots: 2}}
retention: {{completed: 5s}}
tasks:
  hold: {{shell: 'while [ ! -e go ]; do sleep 0.05; done', priority: high}}
  talk: {{shell: 'echo "$WORD" | cut -c1-2000', params: {{word: {{}}}}, retry: {{attempts: 2}}}}
crons:
  tick: {{task: talk, every: 1s, misfire: once, params: {{word: x}}}}
"""


def fill(project: Project) -> int:
    """Submit until the store takes no more; the number of jobs."""
    for made in range(10_000):
        try:
            project.submit("talk", {"word": "x" * 10_000})
        except StoreFull:
            return made
    raise AssertionError("never full")


def test_a_store_filled_to_the_brim_drains_and_takes_jobs_again(
    project: Projects, server: ExternalServer
) -> None:
    demo = project(MANIFEST.format(url=server.url))
    daemon = demo.start()
    held = [demo.submit("hold") for _ in range(2)]
    for job_id in held:
        demo.running(job_id)
    limit = int(demo.info("memory")["used_memory"]) + ROOM
    demo.execute("CONFIG", "SET", "maxmemory", str(limit))

    made = fill(demo)
    daemon.wait_for_log("found the store nearly full")
    refused = demo.cli("submit", "talk", "word=y").refused(4)
    ballast = to_the_brim(demo)
    (demo.folder / "go").touch()
    ended = demo.all_ended(held)
    queue = demo.keys.queue("default", "normal")
    eventually(lambda: int(demo.execute("XLEN", queue)) == 0, within=60)

    assert made > 50
    assert "is full" in refused
    assert "fix: raise maxmemory" in refused
    assert [(job.state, job.attempt) for job in ended] == [(JobState.COMPLETED, 1)] * 2
    assert "could not fire: the store is full" in daemon.log()
    demo.execute("DEL", *ballast)
    daemon.wait_for_log("found room in the store again", within=90)
    again = demo.ended(demo.submit("talk", {"word": "z"}), within=90)
    assert again.state is JobState.COMPLETED
    assert "Traceback" not in daemon.log()


def to_the_brim(project: Project) -> list[str]:
    """Take what is left up to maxmemory; the keys that did."""
    for number in range(1000):
        try:
            project.execute("SET", f"ballast:{number}", "x" * 100_000)
        except (StoreFull, ReplyError):
            return [f"ballast:{one}" for one in range(number + 1)]
    raise AssertionError("never at the brim")
