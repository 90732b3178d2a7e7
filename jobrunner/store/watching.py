"""Waiting for the ends of jobs: told by the store, never polled."""

from collections.abc import Sequence

from jobrunner.model import JobState
from jobrunner.store.keys import Keys
from jobrunner.store.records import state_of
from jobrunner.store.requests import Operation, Pipeline, Script


def watch(keys: Keys, job_ids: Sequence[str], client: str) -> Operation[list[JobState | None]]:
    """Register for the ends of jobs on the client's channel; returns their states now.

    Subscribe to `keys.client_channel(client)` before, and call it again after a reconnect.
    """
    channel = keys.client_channel(client)
    replies = yield Pipeline(
        [Script("watch", [keys.job(i), keys.watchers(i)], [channel]) for i in job_ids]
    )
    return [state_of(reply) for reply in replies]
