"""The least that any job queue on streams must do, as values: what the two bare loops share.

XADD; XREADGROUP; per job a hash with the result, XACK and XDEL, pipelined by 100.
"""

from typing import Any

from benchmarks.peers.protocol import Counter

STREAM = "bare:queue"
GROUP = "workers"
BATCH = 100
FIELDS = {"task": "noop", "args": "[]"}

counter = Counter()


def result_key(entry: bytes) -> str:
    """Where the result of the job is that came with this entry."""
    return f"bare:job:{entry.decode()}"


def finish(pipeline: Any, entry: bytes) -> None:
    """Have the pipeline write that the job of this entry has ended."""
    pipeline.hset(result_key(entry), mapping={"state": "completed", "result": "null"})
    pipeline.xack(STREAM, GROUP, entry)
    pipeline.xdel(STREAM, entry)
