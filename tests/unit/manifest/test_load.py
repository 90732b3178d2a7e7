"""Manifests as they should be: what is read, merged, written out, and where it stands."""

from datetime import timedelta
from pathlib import Path

import pytest

from jobrunner.errors import ManifestError
from jobrunner.manifest.effective import adhoc_task
from jobrunner.manifest.fields import parse_umask
from jobrunner.manifest.load import load_manifest
from jobrunner.manifest.parts import SecretRef
from jobrunner.manifest.spec import CronSpec, Lock, Manifest, ManifestFile, Task
from jobrunner.params import ParamType
from tests.unit.manifest.reading import EVERYTHING, EXAMPLE, place, problems, read

ENVIRON = {"REDIS_URL": "redis://localhost:6379/0"}


def task_of(text: str, name: str = "a") -> Task:
    return read(text).manifest.tasks[name]


def test_the_example_loads() -> None:
    manifest = read(EXAMPLE, ENVIRON).manifest

    assert manifest.name == "shop"
    assert manifest.store.url == "redis://localhost:6379/0"
    backup = manifest.tasks["backup"]
    assert backup.command == ["pg_dump", "--format=custom", "--file=/backups/{day}.dump", "shop"]
    assert backup.timeout == timedelta(hours=2)
    assert backup.lock == Lock(name="backup", ttl=timedelta(minutes=10))
    assert manifest.tasks["warm-cache"].retry.exit_codes == [7, 22, 28]
    assert manifest.crons["nightly-backup"].timezone == "Europe/Berlin"
    assert manifest.queue_names() == ["default", "web"]


def test_every_key_is_accepted() -> None:
    manifest = read(EVERYTHING).manifest

    assert manifest.env == {
        "A": "1",
        "B": "1.10",
        "C": "true",
        "D": SecretRef(env="TOKEN"),
        "E": SecretRef(file="/run/secret"),
    }
    assert manifest.defaults.umask == "027"
    assert manifest.defaults.limits.memory == 1 << 30
    assert manifest.tasks["all"].output.max_bytes == 1000
    assert manifest.tasks["all"].retry.backoff == "linear"
    assert manifest.crons["often"].catch_up.count == 5


def test_the_text_with_every_key_leaves_none_out() -> None:
    written = read(EVERYTHING).written

    # An empty list of included files leaves no trace; test_gather.py has the others.
    assert set(ManifestFile.model_fields) - {"include"} == written.model_fields_set
    assert set(Task.model_fields) == set().union(
        *(task.model_fields_set for task in written.tasks.values())
    )
    assert set(CronSpec.model_fields) == set().union(
        *(cron.model_fields_set for cron in written.crons.values())
    )


@pytest.mark.parametrize("text", [EXAMPLE, EVERYTHING])
def test_an_effective_manifest_survives_json(text: str) -> None:
    manifest = read(text, ENVIRON).manifest

    again = Manifest.model_validate_json(manifest.model_dump_json())

    assert again == manifest
    assert again.fingerprint() == manifest.fingerprint()


def test_the_fingerprint_changes_with_the_manifest() -> None:
    first = read("tasks: {a: {command: x}}").manifest
    second = read("tasks: {a: {command: y}}").manifest

    assert first.fingerprint() != second.fingerprint()


def test_the_name_is_the_folders_when_none_is_given() -> None:
    assert read("adhoc: true", file="/srv/My Shop!/jobs.yaml").manifest.name == "My-Shop"
    assert read("adhoc: true", file="/jobs.yaml").manifest.name == "jobs"


def test_defaults_are_merged_key_by_key() -> None:
    task = task_of(
        """
        defaults:
          timeout: 10m
          retry: {attempts: 3, delay: 5s}
          env: {A: default, B: default}
          limits: {memory: 1G, files: 10}
        tasks:
          a: {command: x, retry: {delay: 1s}, env: {B: own}, limits: {files: 20}}
        """
    )

    assert task.timeout == timedelta(minutes=10)
    assert task.retry.attempts == 3
    assert task.retry.delay == timedelta(seconds=1)
    assert task.env == {"A": "default", "B": "own"}
    assert task.limits.memory == 1 << 30
    assert task.limits.files == 20


def test_a_key_set_to_its_default_value_wins_over_defaults() -> None:
    task = task_of(
        """
        defaults: {queue: web, timeout: 1h, retry: {attempts: 3}}
        tasks: {a: {command: x, queue: default, timeout: null, retry: {attempts: 1}}}
        """
    )

    assert (task.queue, task.timeout, task.retry.attempts) == ("default", None, 1)


def test_empty_sections_are_absent_ones() -> None:
    manifest = read("tasks:\ncrons:\nimports:\nstore:\nenv:\ndefaults:\n").manifest

    assert (manifest.tasks, manifest.crons, manifest.imports) == ({}, {}, [])


def test_a_cron_in_a_task_becomes_a_cron_of_its_name() -> None:
    loaded = read("tasks:\n  a:\n    command: x\n    cron: '@daily'\n")

    assert loaded.manifest.crons == {"a": CronSpec(task="a", cron="@daily")}
    assert str(loaded.locate(("crons", "a", "cron"))) == "/srv/shop/jobs.yaml:4:11"


def test_a_stop_may_take_the_drain_and_the_longest_kill_grace() -> None:
    written = "workers: {drain: 1m}\ndefaults: {kill_grace: 5s}\n"
    tasks = "tasks: {a: {command: x, kill_grace: 25s}, b: {command: x}}\n"

    assert read(written + tasks).manifest.longest_stop() == timedelta(seconds=85)
    assert read(written).manifest.longest_stop() == timedelta(minutes=1)


def test_lock_ttl_is_short_for_a_lock_of_the_tasks_name() -> None:
    task = task_of("tasks: {a: {command: x, lock_ttl: 2m}}")

    assert task.lock == Lock(name="a", ttl=timedelta(minutes=2))
    assert task.lock_ttl is None


def test_lock_ttl_of_a_cron_holds_for_its_jobs_only() -> None:
    manifest = read(
        """
        tasks:
          a: {command: x}
          b: {command: x, lock: {name: shared, ttl: 1m, conflict: wait}}
        crons:
          a5: {task: a, every: 5m, lock_ttl: 3m}
          b5: {task: b, every: 5m, lock_ttl: 3m}
          b6: {task: b, every: 6m}
        """
    ).manifest

    three = timedelta(minutes=3)
    assert manifest.lock_of("a") is None
    assert manifest.lock_of("a", "a5") == Lock(name="a", ttl=three)
    assert manifest.lock_of("b", "b5") == manifest.tasks["b"].lock.model_copy(  # type: ignore[union-attr]
        update={"ttl": three}
    )
    assert manifest.lock_of("b", "b6") == manifest.lock_of("b") == manifest.tasks["b"].lock
    assert manifest.lock_of("gone", "gone") is None


def test_paths_start_from_the_manifests_folder() -> None:
    manifest = read(
        """
        env_file: all.env
        defaults: {env_file: [/etc/d.env, d.env]}
        tasks:
          a: {command: x, cwd: sub}
          b: {command: x, env_file: b.env}
        """
    ).manifest

    assert manifest.folder == Path("/srv/shop")
    assert manifest.tasks["a"].cwd == "/srv/shop/sub"
    assert manifest.tasks["b"].cwd == "/srv/shop"
    assert manifest.tasks["a"].env_file == ["/etc/d.env", "/srv/shop/d.env"]
    assert manifest.env_layers(manifest.tasks["b"]) == [
        (["/srv/shop/all.env"], {}),
        (["/srv/shop/b.env"], {}),
    ]


def test_an_adhoc_command_has_the_defaults() -> None:
    manifest = read("adhoc: true\ndefaults: {timeout: 5m, queue: web}").manifest

    task = adhoc_task(manifest)

    assert (task.kind, task.queue, task.cwd) == (None, "web", "/srv/shop")
    assert [spec.name for spec in task.param_specs()] == ["command"]
    assert task.timeout == timedelta(minutes=5)


def test_a_command_given_as_text_is_split_as_a_shell_would() -> None:
    task = task_of("tasks: {a: {command: \"sh -c 'echo $HOME; ls' x\"}}")

    assert task.command == ["sh", "-c", "echo $HOME; ls", "x"]


def test_numbers_reach_a_program_as_they_are_written() -> None:
    task = task_of("tasks: {a: {command: [sleep, 1.50, 007, true], env: {V: 3.10}}}")

    assert task.command == ["sleep", "1.50", "007", "true"]
    assert task.env == {"V": "3.10"}


@pytest.mark.parametrize(
    ("written", "octal"), [("027", "027"), ("0o27", "027"), (27, "027"), ("0", "000"), (0, "000")]
)
def test_a_umask_is_octal_however_it_is_written(written: str | int, octal: str) -> None:
    assert parse_umask(written) == octal
    assert parse_umask(octal) == octal


def test_a_parameter_is_required_unless_it_has_a_default_or_says_so() -> None:
    task = task_of(
        """
        tasks:
          a:
            command: x
            params: {a: {}, b: {default: x}, c: {required: false}, d: {type: any}}
        """
    )

    assert [spec.required for spec in task.param_specs()] == [True, False, False, True]
    assert task.param_specs()[3].type is ParamType.ANY


def test_a_task_of_an_import_need_not_be_declared() -> None:
    manifest = read("imports: [m]\ntasks: {a: {timeout: 5s}}\ncrons: {c: {task: b, every: 5s}}")

    assert manifest.manifest.tasks["a"].kind is None


def test_places_are_those_of_values_and_of_the_keys_of_mappings() -> None:
    loaded = read(EXAMPLE, ENVIRON)

    def line_and_column(*path: str | int) -> str:
        return str(loaded.locate(path)).removeprefix("/srv/shop/jobs.yaml:")

    assert line_and_column("crons", "cleanup", "cron") == "26:34"
    assert line_and_column("crons", "cleanup") == "26:3"
    assert line_and_column("tasks", "backup", "command", 1) == "9:24"
    assert line_and_column("tasks", "backup", "nice") == "7:3"
    assert line_and_column() == "1:1"


def test_a_file_is_read_from_disk(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text("\ufefftasks: {a: {command: [echo, ä]}}\n", encoding="utf-8")

    loaded = load_manifest(file, {})

    assert loaded.manifest.path == str(file)
    assert loaded.manifest.tasks["a"].command == ["echo", "ä"]


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        (b"a: 1\nb: \xff\n", "2:4", "byte 0xff is not UTF-8"),
        (b"x" * (1 << 21), "1:1", "the file is too large"),
        (b"", "1:1", "the file is empty"),
        (b"- a\n", "1:1", "the manifest must be a mapping"),
    ],
)
def test_an_unusable_file_is_a_problem(
    tmp_path: Path, content: bytes, where: str, what: str
) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_bytes(content)

    with pytest.raises(ManifestError) as caught:
        load_manifest(file, {})

    (problem,) = caught.value.problems
    assert str(problem.where) == f"{file}:{where}"
    assert problem.what == what


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as missing:
        load_manifest(tmp_path / "jobs.yaml", {})
    with pytest.raises(ManifestError) as folder:
        load_manifest(tmp_path, {})

    assert missing.value.problems[0].what == f"cannot read {tmp_path / 'jobs.yaml'}"
    assert missing.value.problems[0].why == "No such file or directory"
    assert folder.value.problems[0].why == "Is a directory"


def test_crons_that_name_no_zone_have_the_manifests() -> None:
    manifest = read(
        """
        timezone: Europe/Berlin
        tasks: {a: {command: x, cron: "@daily"}}
        crons:
          b: {task: a, cron: "@daily"}
          c: {task: a, cron: "@daily", timezone: UTC}
        """
    ).manifest

    zones = {name: cron.timezone for name, cron in manifest.crons.items()}
    assert zones == {"a": "Europe/Berlin", "b": "Europe/Berlin", "c": "UTC"}


def test_a_wrong_zone_of_the_manifest_is_told_once_at_its_place() -> None:
    (problem,) = problems(
        "timezone: Europe/Berlim\ntasks: {a: {command: x}}\ncrons: {c: {task: a, every: 1d}}\n"
    )

    assert place(problem) == "1:11"
    assert problem.what == "time zone 'Europe/Berlim' of the manifest is unknown"
    assert problem.fix == "write 'Europe/Berlin'"
