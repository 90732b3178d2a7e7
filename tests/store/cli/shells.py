"""Interactive shells, each on a terminal of its own, in which a test types."""

import os
import pty
import re
import select
import shutil
import signal
import termios
import time
from pathlib import Path
from typing import ClassVar

import pytest

ANSWER_S = 30.0  # a completion starts an interpreter; the machine may be slow
PROMPT = "READY:"
SHOW_LINE = "\x14"  # Ctrl-T prints the line that is typed
KILL_LINE = "\x15"


class Shell:
    """A shell without anybody's settings. `name` is its program, and of its completion script."""

    name: ClassVar[str]
    setup: ClassVar[str]  # read after the completion script
    terminal: ClassVar[str] = "dumb"

    def __init__(self, folder: Path, script: str, environ: dict[str, str]) -> None:
        """In the folder; `script` is the completion script, which the shell reads first."""
        program = shutil.which(self.name)
        if program is None:
            pytest.skip(f"{self.name} is not installed; .ci/run installs it")
        rc_file = folder / self.rc_name()
        rc_file.write_text(f"{self.before()}\n{script}\n{self.setup}\ncd '{folder}'\n")
        words = [program, *map(str, self.options(rc_file))]
        variables = {"TERM": self.terminal, "HOME": str(folder), "ZDOTDIR": str(folder)}
        self._pid, self._terminal = pty.fork()  # the terminal is the child's own
        if self._pid == 0:
            # It is wide: a shell shows only a part of what does not fit.
            termios.tcsetwinsize(0, (50, 500))
            os.execve(program, words, {**environ, **variables})
        self._read_until(PROMPT.encode())

    def rc_name(self) -> str:
        return f"rc.{self.name}"

    def before(self) -> str:
        return ""

    def options(self, rc_file: Path) -> list[str | Path]:
        raise NotImplementedError

    def typed(self, keys: str) -> str:
        """The line that stands there after the keys; it is taken back."""
        os.write(self._terminal, (keys + SHOW_LINE).encode())
        line = self._read_until(rb"line=\[(.*?)\]eol")
        os.write(self._terminal, KILL_LINE.encode())
        return line

    def entered(self, keys: str) -> str:
        """What the terminal shows from the keys, which end a line, to the next prompt."""
        mark = f"done-{time.monotonic_ns()}"
        # The second line is read once the first one's command has ended; what is typed is shown
        # with a quote inside, and so is not taken for the answer.
        os.write(self._terminal, f"{keys}\recho '{mark[:3]}'{mark[3:]}\r".encode())
        return self._read_until(rf"(?s)(.*?){mark}".encode())

    def close(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def _read_until(self, pattern: bytes) -> str:
        seen = b""
        end = time.monotonic() + ANSWER_S
        while not (found := re.search(pattern, seen)):
            readable, _, _ = select.select([self._terminal], [], [], end - time.monotonic())
            assert readable, f"{self.name} showed only {seen!r}"
            seen += os.read(self._terminal, 4096)
        return (found[1] if found.re.groups else found[0]).decode()


class Bash(Shell):
    """Without bash-completion."""

    name = "bash"
    setup = (
        """bind -x '"\\C-t": echo "line=[$READLINE_LINE]eol"'\nset -o history -o histexpand\n"""
        f"PS1={PROMPT}"
    )

    def options(self, rc_file: Path) -> list[str | Path]:
        return ["--noprofile", "--rcfile", rc_file, "-i"]


class Zsh(Shell):
    """With the completion system that comes with it."""

    name = "zsh"
    setup = (
        """show() { print -rn -- "line=[$BUFFER]eol" }; zle -N show; bindkey '^T' show\n"""
        """bindkey '^U' kill-whole-line\nsetopt banghist\n"""
        f"PS1={PROMPT}"
    )

    def rc_name(self) -> str:
        return ".zshrc"

    def before(self) -> str:
        return "autoload -Uz compinit; compinit -u -D"

    def options(self, rc_file: Path) -> list[str | Path]:  # noqa: ARG002  # found by $ZDOTDIR
        return ["-d", "-i"]


class Fish(Shell):
    name = "fish"
    terminal = "xterm"
    setup = (
        'bind \\ct \'echo -n "line=["(commandline)"]eol"\'\n'
        "bind \\cu 'commandline \"\"'\n"
        "set -g fish_autosuggestion_enabled 0\nset -g fish_greeting\n"
        f"function fish_prompt; echo -n {PROMPT}; end"
    )

    def options(self, rc_file: Path) -> list[str | Path]:
        return ["--no-config", "--interactive", "--init-command", f"source '{rc_file}'"]


SHELLS = (Bash, Zsh, Fish)
