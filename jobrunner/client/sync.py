"""The client for synchronous programs."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

from jobrunner.client.ends import Ends
from jobrunner.client.operations import Operations, Repeats
from jobrunner.client.outcome import result_of
from jobrunner.client.ref import Ref
from jobrunner.client.request import Duration, JobRequest, ManyOptions, SubmitOptions, seconds_of
from jobrunner.errors import StoreUnavailable
from jobrunner.locate import find_store
from jobrunner.model import Job, JobState
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.logs import LogLine
from jobrunner.store.patience import Patience
from jobrunner.store.records import read_job, read_jobs
from jobrunner.store.requests import Operation
from jobrunner.store.submission import Submitted, retry_job

T = TypeVar("T")


class Client:
    """Submits jobs and waits for, reads, cancels, retries and deletes them; by its namespace.

    It connects at its first use. Threads may share it. Every method raises StoreUnavailable when
    the store cannot be reached.
    """

    def __init__(
        self,
        name: str,
        url: str | None = None,
        *,
        socket: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        """`name` is the manifest's; `url` is `store.url`, `socket` that of an embedded server.

        `patience` is for a command that tells a person what it waits for.
        """
        self.address = StoreAddress(name, url=url, socket=socket)
        self._operations = Operations.of(name)
        self._patience = patience
        self._connection = StoreConnection(self.address, patience=patience)
        self._ends = Ends(self.address, self._connection, self._operations.clock, patience)

    @classmethod
    def from_manifest(cls, path: str | Path | None = None) -> Self:
        """A client of the store that a manifest names; without a path the CLI's rules find it.

        Raises UsageError when there is no manifest, ManifestError when it cannot be read.
        """
        address = find_store(None if path is None else Path(path)).address
        return cls(address.name, address.url, socket=address.socket)

    def submit(
        self,
        task: str,
        params: Mapping[str, Any] | None = None,
        *,
        durable: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> "JobRef":
        """Make a job. With `durable` it is on the server's disk when this returns.

        Safe to repeat with the same `id` or `key`. Raises JobNotFound for an unknown task or
        upstream job, InvalidArguments, UsageError.
        """
        [job] = self.submit_batch([JobRequest.of(task, params, options)], durable=durable)
        return job

    def submit_many(
        self,
        task: str,
        params: Iterable[Mapping[str, Any]],
        *,
        durable: bool = False,
        **options: Unpack[ManyOptions],
    ) -> "list[JobRef]":
        """Make a job of the same task for each of `params`, 500 per round trip."""
        requests = JobRequest.of_many(task, params, options)
        return self.submit_batch(requests, durable=durable)

    def submit_batch(
        self, requests: Sequence[JobRequest], *, durable: bool = False
    ) -> "list[JobRef]":
        """Make jobs of any tasks. All are checked before the first is made."""
        submitted = self._repeat(lambda: self._operations.submit(requests, durable=durable))
        return [JobRef(job.id, self, job) for job in submitted]

    def ref(self, job_id: str) -> "JobRef":
        """A handle of a job known by its id; nothing is read."""
        return JobRef(job_id, self)

    def job(self, job_id: str) -> Job:
        """The job's record, read now. Raises JobNotFound."""
        return self._connection.run(read_job(self._operations.keys, job_id))

    def cancel(self, job_id: str, *, wait: bool = False, timeout: Duration | None = None) -> bool:
        """Cancel a job. True when it has ended; False when its worker was told to stop it.

        With `wait` it returns when the job has ended. Raises JobNotFound, JobTimeout, and
        IllegalTransition for a job that had ended before.
        """
        has_ended = self._connection.run(self._operations.cancel(job_id))
        if wait and not has_ended:
            self._ends.wait([job_id], seconds_of(timeout))
            return True
        return has_ended

    def retry(self, job_id: str) -> None:
        """Queue a finished job again. Raises JobNotFound, IllegalTransition."""
        self._connection.run(retry_job(self._operations.keys, job_id))

    def delete(self, job_id: str) -> None:
        """Delete a finished job. Raises JobNotFound, IllegalTransition."""
        self._connection.run(self._operations.delete(job_id))

    def logs(self, job_id: str, *, tail: int | None = None) -> list[LogLine]:
        """The job's output so far, or its last `tail` lines. Raises JobNotFound."""
        return self._connection.run(self._operations.logs(job_id, tail))

    def wait(self, job_ids: Sequence[str], timeout: Duration | None = None) -> list[Job]:
        """The jobs once all have ended, however they did, in the order of their ids.

        Told by the store, not polled; an outage of half a minute is waited out. Raises
        JobTimeout after `timeout`, and leaves out jobs that are gone.
        """
        self._ends.wait(job_ids, seconds_of(timeout))
        return self._connection.run(read_jobs(self._operations.keys, job_ids))

    def close(self) -> None:
        """Close the connections; a later use opens others."""
        self._ends.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _repeat(self, operation: Callable[[], Operation[T]]) -> T:
        repeats = Repeats()
        while True:
            try:
                return self._connection.run(operation())
            except StoreUnavailable as error:
                if self._patience is not None and self._patience.is_over():
                    raise
                time.sleep(repeats.pause_after(error))


class JobRef(Ref, frozen=True, eq=False, gc=False):
    """One job of a client. Nothing is remembered: what is asked for is read from the store."""

    _client: Client
    submitted: Submitted | None = None

    @property
    def state(self) -> JobState:
        return self.job().state

    @property
    def result(self) -> Any:
        """None as long as the job has not completed; `wait` tells the difference."""
        return self.job().result

    def job(self) -> Job:
        """The whole record. Raises JobNotFound when the job was deleted meanwhile."""
        return self._client.job(self.id)

    def wait(self, timeout: Duration | None = None) -> Any:
        """The result, as soon as there is one.

        Raises JobFailed when the job ended otherwise than completed, and JobTimeout.
        """
        return result_of(self.id, self._client.wait([self.id], timeout))

    def cancel(self, *, wait: bool = False, timeout: Duration | None = None) -> bool:
        """As `Client.cancel`."""
        return self._client.cancel(self.id, wait=wait, timeout=timeout)

    def logs(self, *, tail: int | None = None) -> list[LogLine]:
        """As `Client.logs`."""
        return self._client.logs(self.id, tail=tail)
