"""Which manifest and store a command is about."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobrunner.errors import ManifestError, StoreUnavailable, UsageError
from jobrunner.locate import Located, find_manifest, find_store, note_endpoint
from jobrunner.manifest.naming import default_name, is_valid_name
from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest in the current folder, which is called `shop`."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = folder / "jobs.yaml"
    path.write_text("tasks: {}\n")
    return path


def test_the_manifest_is_the_named_one_then_that_of_the_environment_then_the_usual(
    manifest: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.touch()

    assert find_manifest(other, {"JOBRUNNER_FILE": str(manifest)}) == other
    assert find_manifest(None, {"JOBRUNNER_FILE": str(other)}) == other
    assert find_manifest(None, {}) == manifest


def test_no_manifest_is_a_wrong_usage_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="no manifest") as refused:
        find_manifest(None, {})

    assert "jobrunner init" in (refused.value.fix or "")
    with pytest.raises(UsageError, match="does not exist"):
        find_manifest(Path("missing.yaml"), {})


def test_a_manifest_without_a_url_has_an_embedded_server_in_its_state_folder(
    manifest: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    located = find_store(None, environ)

    assert (located.manifest, located.name) == (manifest, "shop")
    assert located.state_folder == tmp_path / "state" / "jobrunner" / "shop"
    assert located.address.socket == str(located.state_folder / "server.sock")


def test_name_and_url_are_filled_in_from_the_environment(
    manifest: Path, environ: dict[str, str]
) -> None:
    manifest.write_text('name: "shop-${STAGE:-test}"\nstore: {url: "${REDIS_URL}"}\n')

    located = find_store(None, {**environ, "REDIS_URL": "redis://:secret@db/2"})

    assert located.name == "shop-test"
    assert str(located.address) == "redis://:***@db/2"
    with pytest.raises(ManifestError) as refused:
        find_store(None, environ)
    assert "REDIS_URL" in refused.value.problems[0].what


def test_an_error_elsewhere_in_the_manifest_does_not_matter(
    manifest: Path, environ: dict[str, str]
) -> None:
    manifest.write_text("name: shop2\nunknown: ${MISSING}\ntasks: {a: {command: x}, a: 3}\n")

    assert find_store(None, environ).name == "shop2"


def test_a_file_that_is_no_yaml_is_refused_with_the_place(
    manifest: Path, environ: dict[str, str]
) -> None:
    manifest.write_text("name: [")

    with pytest.raises(ManifestError) as refused:
        find_store(None, environ)

    assert refused.value.problems[0].where is not None


@pytest.mark.parametrize("name", ["../up", "a b", "a}b", "x" * 65])
def test_a_name_that_cannot_stand_in_a_key_or_path_is_refused(
    manifest: Path, environ: dict[str, str], name: str
) -> None:
    manifest.write_text(f'name: "{name}"\n')

    with pytest.raises(UsageError, match="not a valid name"):
        find_store(None, environ)


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("shop", "shop"),
        ("My Shop!", "My-Shop"),
        (".config", "config"),
        ("日本", "jobs"),
        ("", "jobs"),
    ],
)
def test_the_default_name_is_the_folders_made_valid(folder: str, expected: str) -> None:
    name = default_name(Path("/", folder, "jobs.yaml"))

    assert name == expected
    assert is_valid_name(name)


def noted(environ: dict[str, str], name: str) -> Located:
    """What `find_store` said when the daemon noted the endpoint under another name.

    The other name tells an answer from the note from one from the manifest.
    """
    located = find_store(None, environ)
    note_endpoint(Located(located.manifest, name, located.state_folder, located.address), environ)
    return find_store(None, environ)


def test_a_note_of_the_daemon_saves_reading_the_manifest(
    manifest: Path, environ: dict[str, str]
) -> None:
    assert noted(environ, "from-the-note").name == "from-the-note"


def test_a_note_is_not_trusted_once_the_manifest_has_changed(
    manifest: Path, environ: dict[str, str]
) -> None:
    noted(environ, "from-the-note")
    same_size = manifest.read_text().replace("tasks", "crons")
    manifest.write_text(same_size)
    os.utime(manifest, ns=(0, 1))

    assert find_store(None, environ).name == "shop"


def test_a_damaged_note_is_ignored(manifest: Path, environ: dict[str, str], tmp_path: Path) -> None:
    noted(environ, "from-the-note")
    [note] = (tmp_path / "state" / "jobrunner" / ".endpoints").iterdir()

    for damage in ("", "[]", "{}", note.read_text()[:-10]):
        note.write_text(damage)
        assert find_store(None, environ).name == "shop"


@pytest.mark.parametrize(
    "text", ['store: {url: "redis://:secret@db"}', 'name: "${STAGE:-a}"', 'store: {url: "${A:-}"}']
)
def test_nothing_is_noted_that_has_a_url_or_depends_on_the_environment(
    manifest: Path, environ: dict[str, str], tmp_path: Path, text: str
) -> None:
    manifest.write_text(text)

    located = noted(environ, "from-the-note")

    assert located.name != "from-the-note"
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file()]


def test_without_a_daemon_the_error_says_how_to_start_it(
    manifest: Path, environ: dict[str, str]
) -> None:
    connection = StoreConnection(find_store(None, environ).address)

    with pytest.raises(StoreUnavailable, match="the daemon is not running") as refused:
        connection.execute(Command(("PING",)))

    assert "jobrunner run" in (refused.value.fix or "")


def test_locating_a_store_loads_no_heavy_library(manifest: Path, environ: dict[str, str]) -> None:
    script = (
        "import sys; from jobrunner.locate import find_store; find_store()\n"
        "heavy = {'pydantic', 'redis', 'asyncio', 'taskiq', 'croniter', 'psutil', 'ssl'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    found = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )

    assert found.stdout == "[]\n"


def test_a_user_without_a_home_reaches_a_store_by_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_no_entry(_: object) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", has_no_entry)
    manifest = tmp_path / "jobs.yaml"
    manifest.write_text("name: shop\nstore: {url: redis://localhost/0}\n")

    assert find_store(manifest, {}).address.url == "redis://localhost/0"


def test_a_folder_whose_name_is_not_utf8_is_told_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has names of UTF-8 only")
    (folder / "jobs.yaml").write_text("tasks: {}\n")
    monkeypatch.chdir(folder)

    for file in (None, folder / "jobs.yaml"):
        with pytest.raises(UsageError, match="path of the manifest"):
            find_manifest(file, {})
