"""`python -m jobrunner.chaos.daemon MANIFEST LEASE_S [HOST]`: a daemon with short leases.

With HOST its supervisor believes to be on another machine than its processes are.
"""

import os
import socket
import sys
from datetime import timedelta
from pathlib import Path

from jobrunner.daemon.main import run_daemon
from jobrunner.daemon.supervisor import DaemonSettings


def main(manifest: str, lease_s: str, host: str = "") -> None:
    """Run until stopped by a signal."""
    if host:
        socket.gethostname = lambda: host
    settings = DaemonSettings(Path(manifest), lease_ttl=timedelta(seconds=float(lease_s)))
    run_daemon(settings, os.environ)


if __name__ == "__main__":
    main(*sys.argv[1:])
