"""`python -m benchmarks.peers PEER each|bulk|latency|work COUNT`, in the peer's environment.

Prints what was measured as JSON: seconds, for `latency` a list of them.
"""

import importlib
import json
import sys
from typing import cast

from benchmarks.peers.protocol import Peer


def main(name: str, what: str, count: str) -> None:
    """Do one thing of one peer."""
    peer = cast("Peer", importlib.import_module(f"benchmarks.peers.with_{name}"))
    match what:
        case "each":
            measured: float | list[float] = peer.submit_each(int(count))
        case "bulk":
            measured = peer.submit_bulk(int(count))
        case "latency":
            measured = peer.latency(int(count))
        case _:
            peer.work()
            return
    sys.stdout.write(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
