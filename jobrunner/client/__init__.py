"""For programs: submit jobs by task name, wait for them, read and cancel them.

`Client` blocks, `AsyncClient` is for event loops. Both perform the same operations
(`operations.py`, `store/`); they differ only in how they wait for a reply. An end is told by the
store: a client subscribes to its channel, then registers for the jobs it waits for, and registers
again after each loss of the connection, so that no end falls between.
"""

from jobrunner.client.aio import AsyncClient, AsyncJobRef
from jobrunner.client.request import JobRequest
from jobrunner.client.sync import Client, JobRef

__all__ = ["AsyncClient", "AsyncJobRef", "Client", "JobRef", "JobRequest"]
