"""The text of a systemd unit for a manifest. Pure: says which lines, and why each of them.

What is hardened, and what is deliberately not because ordinary jobs need it, is told in
`docs/systemd.md`, with the drop-in that loosens each line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

WATCHDOG = timedelta(seconds=30)
# For giving jobs back, and for the embedded server's last write.
STOP_MARGIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class UnitSettings:
    """What a unit is made of; the paths are absolute."""

    name: str  # the manifest's
    manifest: Path
    command: list[Path | str]  # starts jobrunner, e.g. its console script
    longest_stop: timedelta  # of the daemon, without its server
    is_user: bool = False


@dataclass(frozen=True, slots=True)
class Directive:
    """One line of a unit, and why it is there."""

    key: str
    value: str
    why: str


def unit_name(name: str) -> str:
    """`jobrunner-shop.service`; systemd allows every character of a manifest's name."""
    return f"jobrunner-{name}.service"


def unit_text(settings: UnitSettings) -> str:
    """The whole unit, with a comment above each line."""
    only_system = [] if settings.is_user else [*_folders(settings), *SYSTEM_ONLY]
    sections = {
        "Unit": _unit(settings),
        "Service": [*_start(settings), *_stop(settings), *EVERYWHERE, *only_system],
        "Install": [_install(settings)],
    }
    head = (
        f"# Written by `jobrunner systemd{' --user' if settings.is_user else ''}`.\n"
        f"# Change it by a drop-in: {_edit_command(settings)}\n"
    )
    return head + "".join(_section(title, lines) for title, lines in sections.items())


def _edit_command(settings: UnitSettings) -> str:
    scope = " --user" if settings.is_user else ""
    return f"systemctl{scope} edit {unit_name(settings.name)}"


def _section(title: str, directives: list[Directive]) -> str:
    lines = [f"\n[{title}]\n"]
    lines += [f"# {each.why}\n{each.key}={each.value}\n" for each in directives]
    return "".join(lines)


def _unit(settings: UnitSettings) -> list[Directive]:
    always = [
        Directive("Description", f"jobrunner: {settings.name}", "Shown by systemctl status."),
        Directive("StartLimitIntervalSec", "0", "Never give up: nobody may be there to reset it."),
    ]
    if settings.is_user:
        return always
    return [
        *always,
        Directive("Wants", "network-online.target", "Jobs at the start may need the network."),
        Directive(
            "After",
            "network-online.target time-sync.target",
            "Nor should a cron fire by a clock that is about to be set.",
        ),
    ]


def _start(settings: UnitSettings) -> Iterator[Directive]:
    program, *arguments = [str(word) for word in settings.command]
    words = [_quoted(program), *map(_argument, [*arguments, "run", "--file"])]
    command = " ".join([*words, _argument(str(settings.manifest))])
    yield Directive("Type", "notify", "The daemon says itself when it is ready.")
    yield Directive("NotifyAccess", "main", "No job can speak for the daemon.")
    yield Directive("ExecStart", command, "Absolute paths: systemd knows no working folder.")
    yield Directive(
        "EnvironmentFile", "-%E/jobrunner/%N.env", "Values for the manifest's ${VAR}, if there."
    )
    yield Directive(
        "ExecReload",
        "/bin/kill -HUP $MAINPID",
        "Reads the manifest again; a manifest with a problem changes nothing.",
    )
    yield Directive(
        "TimeoutStartSec", "5min", "Long enough for the embedded server to load a large store."
    )
    yield Directive(
        "WatchdogSec", _seconds(WATCHDOG), "A daemon that hangs is killed and started again."
    )
    yield Directive("Restart", "on-failure", "After a crash; what it was running is rescued.")
    yield Directive("RestartSec", "2s", "Time for what was left over to end.")
    yield Directive(
        "RestartPreventExitStatus",
        "2 5",
        "A wrong manifest (2) or a second daemon (5) is not mended by trying again.",
    )


def _stop(settings: UnitSettings) -> Iterator[Directive]:
    yield Directive(
        "KillMode", "mixed", "TERM goes to the daemon, which drains; at the end KILL to all."
    )
    yield Directive(
        "TimeoutStopSec",
        _seconds(settings.longest_stop + STOP_MARGIN),
        f"workers.drain and the longest kill_grace ({_seconds(settings.longest_stop)}), and a "
        "margin for the server's last write.",
    )
    yield Directive(
        "OOMPolicy", "continue", "A job that runs out of memory must not stop the daemon."
    )


# Not for a user: systemd before 254 would place the state under ~/.config, where no CLI looks, and
# a user's own XDG_RUNTIME_DIR is there already.
def _folders(settings: UnitSettings) -> Iterator[Directive]:
    yield Directive(
        "StateDirectory", f"jobrunner/{settings.name}", "Jobs and history, below /var/lib."
    )
    yield Directive("StateDirectoryMode", "0700", "Arguments and output of jobs may be private.")
    yield Directive(
        "RuntimeDirectory", "%N", "For the store's socket, if the state's path is too long,"
    )
    yield Directive("Environment", "XDG_RUNTIME_DIR=%t/%N", "since a private /tmp would hide it.")
    yield Directive("RuntimeDirectoryMode", "0700", "Who reaches the socket may submit jobs.")


def _install(settings: UnitSettings) -> Directive:
    if settings.is_user:
        return Directive("WantedBy", "default.target", "Starts with the user's session manager.")
    return Directive("WantedBy", "multi-user.target", "Starts when the machine does.")


# What every service manager can enforce, for users as well.
EVERYWHERE = [
    Directive("UMask", "0027", "What jobs write is not for everyone; `umask` of a task says else."),
    Directive("LimitCORE", "0", "A core file would hold secrets, where nobody looks after it."),
    Directive("Delegate", "yes", "Each job gets a control group: found whole, limited as a whole."),
    Directive("TasksMax", "50%", "A job that forks without end leaves half to the machine."),
    Directive("NoNewPrivileges", "yes", "No program of a job gains rights by setuid: no sudo."),
    Directive("LockPersonality", "yes", "No job needs another execution domain."),
    Directive("RestrictRealtime", "yes", "A job must not starve the machine; nice still works."),
    Directive(
        "RestrictAddressFamilies",
        "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "Ordinary sockets; AF_NETLINK lists the network interfaces.",
    ),
    Directive("SystemCallArchitectures", "native", "Foreign calls would pass by the filter."),
    Directive("SystemCallFilter", "@system-service", "What services use: no mount, no reboot."),
    Directive("SystemCallErrorNumber", "EPERM", "A job gets an error instead of being killed."),
]

# What the system's manager alone may do. In a user's unit these have no effect, or keep it from
# starting (status 218): a user's manager may drop no capability.
SYSTEM_ONLY = [
    Directive("ProtectSystem", "full", "/usr, /boot and /etc are read-only for jobs."),
    Directive("PrivateTmp", "yes", "A /tmp of its own, safe from planted files."),
    Directive("PrivateDevices", "yes", "No disks or other hardware; null, random and tty stay."),
    Directive("ProtectKernelTunables", "yes", "/proc/sys and /sys are read-only."),
    Directive("ProtectKernelModules", "yes", "No job loads kernel modules."),
    Directive("ProtectKernelLogs", "yes", "The kernel's log may hold secrets."),
    Directive("ProtectControlGroups", "no", "The daemon makes groups below its own, for jobs."),
    Directive("ProtectClock", "yes", "The clock decides when crons fire."),
    Directive("ProtectHostname", "yes", "Workers are known by the host's name."),
    Directive("RestrictNamespaces", "yes", "Namespaces are a way to the kernel's rarer bugs."),
    Directive(
        "CapabilityBoundingSet",
        "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL "
        "CAP_SETGID CAP_SETUID CAP_SYS_NICE CAP_SYS_RESOURCE",
        "For `user`, `group`, `nice` and `limits` of tasks, and for jobs that keep files.",
    ),
]


def _seconds(span: timedelta) -> str:
    # Rounded up: stopping early would kill a job within its grace.
    return f"{-(-span // timedelta(seconds=1))}s"


def _argument(text: str) -> str:
    """Quoted, and safe from variables; systemd expands none in the first word, the program."""
    return _quoted(text.replace("$", "$$"))


def _quoted(text: str) -> str:
    """One word of a command line, see systemd.syntax(7): specifiers, escapes and blanks."""
    safe = text.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    safe = "".join(char if char.isprintable() else _hex(char) for char in safe)
    is_plain = safe == text and text and not any(char in text for char in " ';")
    return safe if is_plain else f'"{safe}"'


def _hex(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode(errors="surrogateescape"))
