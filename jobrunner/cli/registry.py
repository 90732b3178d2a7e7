"""Every command: its name, its one sentence, its examples and where its function is.

Plain values, so that help and completion list all commands without importing any of them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command. `target` is `module:function` below `jobrunner.cli`."""

    name: str
    target: str
    help: str
    examples: tuple[str, ...]
    takes_rest: bool = False  # words after the first argument are the user's, even with dashes
    acts: bool = False  # it changes something, whatever it prints


MANIFEST = (
    CommandEntry(
        "init",
        "init:init",
        "Write a commented jobs.yaml that validates and runs.",
        ("jobrunner init", "jobrunner init --file /etc/jobrunner/jobs.yaml"),
        acts=True,
    ),
    CommandEntry(
        "validate",
        "validate:validate",
        "Check the manifest and report every problem with its place and its fix.",
        ("jobrunner validate", "jobrunner validate --file ops/jobs.yaml --json"),
    ),
    CommandEntry(
        "schema",
        "schema:schema",
        "Print the JSON Schema of the manifest, for editors and checks.",
        ("jobrunner schema > jobs.schema.json",),
    ),
    CommandEntry(
        "next",
        "next:next_fires",
        "Show the coming fire times of one cron, of all crons, or of an expression.",
        (
            "jobrunner next",
            "jobrunner next nightly-backup -n 10",
            'jobrunner next --expr "30 2 * * *" --tz Europe/Berlin --from 2026-03-28',
        ),
    ),
)

DAEMON = (
    CommandEntry(
        "run",
        "run:run",
        "Run the daemon: scheduler, workers and, without store.url, the embedded server.",
        ("jobrunner run", "jobrunner run --once", "jobrunner run --upgrade-server"),
    ),
    CommandEntry(
        "reload",
        "reload:reload",
        "Make the running daemon read its manifest again; a bad one changes nothing.",
        ("jobrunner reload",),
        acts=True,
    ),
    CommandEntry(
        "stop",
        "stop:stop",
        "Stop the daemon after a drain: running jobs finish, or are given back.",
        ("jobrunner stop", "jobrunner stop --now"),
        acts=True,
    ),
    CommandEntry(
        "systemd",
        "systemd:systemd",
        "Print or install a hardened systemd unit for this manifest.",
        ("jobrunner systemd", "jobrunner systemd --user --install"),
    ),
)

JOBS = (
    CommandEntry(
        "submit",
        "submit:submit",
        "Submit a job of a task and print its id.",
        (
            "jobrunner submit backup day=2026-11-21",
            "jobrunner submit warm-cache region=eu --in 5m",
            "jobrunner submit --batch jobs.jsonl",
        ),
        acts=True,
    ),
    CommandEntry(
        "exec",
        "exec:exec_command",
        "Submit a command that no task declares; the manifest must say adhoc: true.",
        ("jobrunner exec -- tar czf /backups/etc.tar.gz /etc",),
        takes_rest=True,
        acts=True,
    ),
    CommandEntry(
        "list",
        "list:list_jobs",
        "List jobs, the newest first.",
        ("jobrunner list", "jobrunner list --state failed --since 1d --limit 50"),
    ),
    CommandEntry(
        "show",
        "show:show",
        "Show all that is known about one job.",
        ("jobrunner show k3f9x2mq7pab", "jobrunner show @last:backup"),
    ),
    CommandEntry(
        "why",
        "why:why",
        "Say in one sentence why a job, cron or task is as it is, with the facts behind it.",
        (
            "jobrunner why k3f9x2mq7pab",
            "jobrunner why @last:backup",
            "jobrunner why nightly-backup",
            "jobrunner why nightly-backup@2026-11-21T01:00:00Z",
        ),
    ),
    CommandEntry(
        "history",
        "history:history",
        "Show the past jobs of a task with their results and durations.",
        ("jobrunner history backup", "jobrunner history backup --limit 100 --json"),
    ),
    CommandEntry(
        "logs",
        "logs:logs",
        "Print what a job wrote; with -f, follow it while it runs.",
        ("jobrunner logs @last", "jobrunner logs k3f9x2mq7pab -f", "jobrunner logs k3f9 --tail 20"),
    ),
    CommandEntry(
        "wait",
        "wait:wait",
        "Wait until jobs have ended and exit with their result.",
        ("jobrunner wait k3f9x2mq7pab --timeout 10m",),
    ),
    CommandEntry(
        "cancel",
        "cancel:cancel",
        "Cancel waiting or running jobs; returns when they have stopped.",
        ("jobrunner cancel k3f9x2mq7pab", "jobrunner cancel @last:backup"),
        acts=True,
    ),
    CommandEntry(
        "retry",
        "retry:retry",
        "Queue ended jobs again, under the same id.",
        ("jobrunner retry k3f9x2mq7pab", "jobrunner retry --failed --task backup"),
        acts=True,
    ),
    CommandEntry(
        "delete",
        "delete:delete",
        "Delete the record and the output of ended jobs.",
        ("jobrunner delete k3f9x2mq7pab",),
        acts=True,
    ),
)

CRONS = (
    CommandEntry(
        "crons",
        "crons:crons",
        "List the crons with their schedule, next fire time and last result.",
        ("jobrunner crons", "jobrunner crons --json"),
    ),
    CommandEntry(
        "pause",
        "pause:pause",
        "Pause a cron: its fire times make no jobs until it is resumed.",
        ("jobrunner pause nightly-backup",),
        acts=True,
    ),
    CommandEntry(
        "resume",
        "pause:resume",
        "Resume a paused cron.",
        ("jobrunner resume nightly-backup",),
        acts=True,
    ),
    CommandEntry(
        "backfill",
        "backfill:backfill",
        "Make the jobs of past fire times of a cron; those that have a job are left alone.",
        (
            "jobrunner backfill nightly-backup --from 2026-11-01 --to 2026-11-08 --dry-run",
            "jobrunner backfill nightly-backup --from 2026-11-01T00:00:00Z --priority low",
        ),
        acts=True,
    ),
    CommandEntry(
        "trigger",
        "trigger:trigger",
        "Submit the job of a cron now, with the cron's parameters.",
        ("jobrunner trigger nightly-backup",),
        acts=True,
    ),
)

OPERATIONS = (
    CommandEntry(
        "status",
        "status:status",
        "Show the daemon, its workers and a row per task and cron; with an id, one job.",
        (
            "jobrunner status",
            "jobrunner status --watch",
            "jobrunner status --json",
            "jobrunner status --trust",
        ),
    ),
    CommandEntry(
        "stats",
        "stats:stats",
        "Show what was done in the last minute, hour and day: numbers, waits and durations.",
        (
            "jobrunner stats",
            "jobrunner stats backup",
            "jobrunner stats --window 1d --json",
        ),
    ),
    CommandEntry(
        "workers",
        "workers:workers",
        "List the workers with their slots and leases.",
        ("jobrunner workers",),
    ),
    CommandEntry(
        "queues",
        "queues:queues",
        "List the queues with the number of waiting jobs by priority.",
        ("jobrunner queues",),
    ),
    CommandEntry(
        "locks",
        "locks:locks",
        "List the held locks with their holders; --break frees one by force.",
        ("jobrunner locks", "jobrunner locks --break backup"),
    ),
    CommandEntry(
        "doctor",
        "doctor:doctor",
        "Check server, host, daemon and store, each with a fix; --repair mends orphaned entries.",
        ("jobrunner doctor", "jobrunner doctor --repair", "jobrunner doctor --json"),
    ),
    CommandEntry(
        "chaos",
        "chaos:chaos",
        "Kill daemons of its own under load on your store, in a namespace that is emptied "
        "afterwards, and check that no promise was broken.",
        (
            "jobrunner chaos",
            "jobrunner chaos --list",
            "jobrunner chaos --only kill-anything --seed 7 --seconds 15",
            "jobrunner chaos --own-server --full --report report.md",
        ),
    ),
    CommandEntry(
        "bench",
        "bench:bench",
        "Measure how fast jobrunner is on this machine, each job's delivery checked.",
        (
            "jobrunner bench",
            "jobrunner bench throughput latency --quick",
            "jobrunner bench --url redis://redis.example:6379 --json",
        ),
    ),
    CommandEntry(
        "completion",
        "completion:completion",
        "Print the completion script of a shell: bash, zsh or fish.",
        (
            'eval "$(jobrunner completion bash)"',
            "source <(jobrunner completion zsh)",
            "jobrunner completion fish > ~/.config/fish/completions/jobrunner.fish",
        ),
    ),
)

SECTIONS: dict[str, tuple[CommandEntry, ...]] = {
    "Manifest": MANIFEST,
    "Daemon": DAEMON,
    "Jobs": JOBS,
    "Crons": CRONS,
    "Operations": OPERATIONS,
}


def all_commands() -> list[CommandEntry]:
    """Every command, in the order of `jobrunner --help`."""
    return [entry for section in SECTIONS.values() for entry in section]


def find_command(name: str) -> CommandEntry | None:
    """The command of that name, or None."""
    return next((entry for entry in all_commands() if entry.name == name), None)
