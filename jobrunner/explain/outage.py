"""The explanation of anything while the store cannot be asked."""

from jobrunner.errors import StoreUnavailable
from jobrunner.explain.model import Code, Explanation, Kind
from jobrunner.store.address import StoreAddress


def explain_outage(subject: str, error: StoreUnavailable, address: StoreAddress) -> Explanation:
    """What is known all the same: nothing of the subject, but why it cannot go on."""
    is_absent = isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)
    code, effect = Code.STORE_UNREACHABLE, ""
    if address.is_embedded and is_absent:
        code, effect = Code.DAEMON_NOT_RUNNING, " nothing fires or starts, and"
    sentence = f"{error.what}, so{effect} '{subject}' cannot be looked up"
    return Explanation(subject, Kind.STORE, code, (sentence,), {"cause": error.why}, fix=error.fix)
