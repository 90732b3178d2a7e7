"""The programs of the peers, each run in an environment of its own: `python -m benchmarks.peers`.

A module `with_<peer>` has what its documents advise: `submit_each` and `submit_bulk`, `latency`,
and `work`, which becomes the worker. It imports nothing of jobrunner but the protocol.
"""
