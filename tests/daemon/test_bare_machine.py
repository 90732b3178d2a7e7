"""Machines that lack what one is used to: temporary folders, homes, accounts, streams."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.daemon.harness import Project

# A file system of its own for the state; all else can only be read, as in a hardened container.
READ_ONLY = """
mount -t tmpfs -o mode=700 tmpfs "$JOBRUNNER_STATE" || exit 77
mount --bind / / && mount -o remount,ro,bind / || exit 77
for folder in /tmp /var/tmp /dev/shm; do
  mountpoint -q $folder && mount -o remount,ro,bind $folder
done
if touch /tmp/writable 2>/dev/null; then exit 77; fi
"$PYTHON" -m jobrunner run >"$JOBRUNNER_STATE/log" 2>&1 & daemon=$!
until grep -q "INFO started daemon=" "$JOBRUNNER_STATE/log"; do
  kill -0 $daemon || { cat "$JOBRUNNER_STATE/log"; exit 1; }
done
"$PYTHON" -m jobrunner submit back --wait
"$PYTHON" -m jobrunner submit folder --wait
"$PYTHON" -m jobrunner validate
kill $daemon; wait $daemon
cat "$JOBRUNNER_STATE/log"
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root may mount"
)
def test_a_read_only_machine_runs_jobs_with_nothing_but_the_state_folder(
    project: Callable[..., Project],
) -> None:
    made = project(
        """
        imports: [folders]
        workers: {processes: 1}
        tasks:
          back: {shell: 'echo 5 > "$JOBRUNNER_RESULT"'}
        """,
        {
            "folders": """
                import tempfile
                from jobrunner import task


                @task
                def folder():
                    return tempfile.gettempdir()
            """
        },
    )
    made.state.mkdir()

    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", READ_ONLY],
        env={**made.environ, "PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=made.folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    if done.returncode == 77:
        pytest.skip("this machine does not let root mount")
    said = done.stdout + done.stderr
    assert ": 5\n" in said
    assert f'"{made.state}/tmp"' in said
    assert "is valid" in said
    assert "WARNING no temporary folder can be written to" in said
    assert "Traceback" not in said
