"""The client for programs with an event loop: `Client`, with coroutines."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

from jobrunner.client.operations import Operations, Repeats
from jobrunner.client.outcome import result_of
from jobrunner.client.ref import Ref
from jobrunner.client.request import Duration, JobRequest, ManyOptions, SubmitOptions, seconds_of
from jobrunner.errors import StoreUnavailable
from jobrunner.locate import find_store
from jobrunner.model import Job, JobState
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.logs import LogLine
from jobrunner.store.records import read_job, read_jobs
from jobrunner.store.requests import Operation
from jobrunner.store.submission import Submitted, retry_job

T = TypeVar("T")


class AsyncClient:
    """As `Client`, for the coroutines of one event loop."""

    def __init__(self, name: str, url: str | None = None, *, socket: str | None = None) -> None:
        """`name` is the manifest's; `url` is `store.url`, `socket` that of an embedded server."""
        from jobrunner.client.async_ends import AsyncEnds  # here: it loads asyncio

        self.address = StoreAddress(name, url=url, socket=socket)
        self._operations = Operations.of(name)
        self._connection = AsyncStoreConnection(self.address)
        self._ends = AsyncEnds(self.address, self._connection, self._operations.clock)

    @classmethod
    def from_manifest(cls, path: str | Path | None = None) -> Self:
        """As `Client.from_manifest`."""
        address = find_store(None if path is None else Path(path)).address
        return cls(address.name, address.url, socket=address.socket)

    async def submit(
        self,
        task: str,
        params: Mapping[str, Any] | None = None,
        *,
        durable: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> "AsyncJobRef":
        """As `Client.submit`."""
        [job] = await self.submit_batch([JobRequest.of(task, params, options)], durable=durable)
        return job

    async def submit_many(
        self,
        task: str,
        params: Iterable[Mapping[str, Any]],
        *,
        durable: bool = False,
        **options: Unpack[ManyOptions],
    ) -> "list[AsyncJobRef]":
        """As `Client.submit_many`."""
        requests = JobRequest.of_many(task, params, options)
        return await self.submit_batch(requests, durable=durable)

    async def submit_batch(
        self, requests: Sequence[JobRequest], *, durable: bool = False
    ) -> "list[AsyncJobRef]":
        """As `Client.submit_batch`."""
        submitted = await self._repeat(lambda: self._operations.submit(requests, durable=durable))
        return [AsyncJobRef(job.id, self, job) for job in submitted]

    def ref(self, job_id: str) -> "AsyncJobRef":
        """A handle of a job known by its id; nothing is read."""
        return AsyncJobRef(job_id, self)

    async def job(self, job_id: str) -> Job:
        """As `Client.job`."""
        return await self._connection.run(read_job(self._operations.keys, job_id))

    async def cancel(
        self, job_id: str, *, wait: bool = False, timeout: Duration | None = None
    ) -> bool:
        """As `Client.cancel`."""
        has_ended = await self._connection.run(self._operations.cancel(job_id))
        if wait and not has_ended:
            await self._ends.wait([job_id], seconds_of(timeout))
            return True
        return has_ended

    async def retry(self, job_id: str) -> None:
        """As `Client.retry`."""
        await self._connection.run(retry_job(self._operations.keys, job_id))

    async def delete(self, job_id: str) -> None:
        """As `Client.delete`."""
        await self._connection.run(self._operations.delete(job_id))

    async def logs(self, job_id: str, *, tail: int | None = None) -> list[LogLine]:
        """As `Client.logs`."""
        return await self._connection.run(self._operations.logs(job_id, tail))

    async def wait(self, job_ids: Sequence[str], timeout: Duration | None = None) -> list[Job]:
        """As `Client.wait`."""
        await self._ends.wait(job_ids, seconds_of(timeout))
        return await self._connection.run(read_jobs(self._operations.keys, job_ids))

    async def close(self) -> None:
        """Close the connections; a later use opens others."""
        await self._ends.close()
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _repeat(self, operation: Callable[[], Operation[T]]) -> T:
        from asyncio import sleep

        repeats = Repeats()
        while True:
            try:
                return await self._connection.run(operation())
            except StoreUnavailable as error:
                await sleep(repeats.pause_after(error))


class AsyncJobRef(Ref, frozen=True, eq=False, gc=False):
    """As `JobRef`, with coroutines for all that is read from the store."""

    _client: AsyncClient
    submitted: Submitted | None = None

    async def state(self) -> JobState:
        """As `JobRef.state`."""
        return (await self.job()).state

    async def result(self) -> Any:
        """As `JobRef.result`."""
        return (await self.job()).result

    async def job(self) -> Job:
        """As `JobRef.job`."""
        return await self._client.job(self.id)

    async def wait(self, timeout: Duration | None = None) -> Any:
        """As `JobRef.wait`."""
        return result_of(self.id, await self._client.wait([self.id], timeout))

    async def cancel(self, *, wait: bool = False, timeout: Duration | None = None) -> bool:
        """As `Client.cancel`."""
        return await self._client.cancel(self.id, wait=wait, timeout=timeout)

    async def logs(self, *, tail: int | None = None) -> list[LogLine]:
        """As `Client.logs`."""
        return await self._client.logs(self.id, tail=tail)
