"""An interactive bash on a terminal of its own, in which a test types."""

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

ANSWER_S = 30.0  # a completion starts an interpreter; the machine may be slow
PROMPT = "READY:"
SHOW_LINE = "\x14"  # Ctrl-T prints the line that is typed
KILL_LINE = "\x15"


class Bash:
    """`bash` without anybody's settings and without bash-completion."""

    def __init__(self, folder: Path, script: str, environ: dict[str, str]) -> None:
        """In the folder; `script` is what the shell reads first."""
        show = """bind -x '"\\C-t": echo "line=[$READLINE_LINE]"'"""
        rc_file = folder / "rc.sh"
        # The terminal is wide: readline shows only a part of what does not fit.
        rc_file.write_text(f"{script}\n{show}\nstty cols 500\ncd '{folder}'\nPS1={PROMPT}\n")
        self._terminal, its_side = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--rcfile", rc_file, "-i"],
            env={**environ, "TERM": "dumb"},
            stdin=its_side,
            stdout=its_side,
            stderr=its_side,
            start_new_session=True,
        )
        os.close(its_side)
        self._read_until(PROMPT.encode())

    def typed(self, keys: str) -> str:
        """The line that stands there after the keys; it is taken back."""
        os.write(self._terminal, (keys + SHOW_LINE).encode())
        line = self._read_until(rb"line=\[(.*)\]\r")
        os.write(self._terminal, KILL_LINE.encode())
        return line

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def _read_until(self, pattern: bytes) -> str:
        seen = b""
        end = time.monotonic() + ANSWER_S
        while not (found := re.search(pattern, seen)):
            readable, _, _ = select.select([self._terminal], [], [], end - time.monotonic())
            assert readable, f"bash showed only {seen!r}"
            seen += os.read(self._terminal, 4096)
        return (found[1] if found.re.groups else found[0]).decode()
