"""The places of results: what a command, and another user, can do to them."""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.message import MOST_RESULT
from jobrunner.runner.identity import Identity
from jobrunner.runner.results import (
    BadResult,
    ResultFiles,
    discard_results,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@pytest.fixture
def files(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ResultFiles]:
    tmp_path_factory.getbasetemp()  # pytest's own, before the temporary folder is another
    folder = tempfile.mkdtemp(prefix="jr-results-")
    os.chmod(folder, 0o1777)
    monkeypatch.setattr(tempfile, "tempdir", folder)
    files = ResultFiles("mark-w1")
    yield files
    files.close()
    shutil.rmtree(folder)


@pytest.fixture
def nobody() -> Identity:
    account = pwd.getpwnam("nobody")
    return Identity(account.pw_uid, account.pw_gid, [account.pw_gid], {})


def act(who: Identity, script: str) -> subprocess.CompletedProcess[str]:
    """What a command of this user does."""
    return subprocess.run(
        ["/bin/sh", "-c", script],
        user=who.uid,
        group=who.gid,
        extra_groups=who.groups,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_result_is_read_and_removed(files: ResultFiles) -> None:
    place = files.place(None)
    Path(place).write_text(' {"rows": 3}\n')

    assert files.read(place) == b'{"rows": 3}'
    files.discard(place)
    assert not Path(place).exists()


def test_a_result_as_large_as_the_bound_is_read_and_a_larger_one_is_not(files: ResultFiles) -> None:
    place = files.place(None)
    text = '"' + "x" * (MOST_RESULT - 2) + '"'

    Path(place).write_text(text)
    assert files.read(place) == text.encode()
    Path(place).write_text(text + " ")
    with pytest.raises(BadResult, match="more than the 16,777,216 bytes"):
        files.read(place)


def test_others_pass_through_the_folder_and_see_nothing(files: ResultFiles) -> None:
    own = Path(files.place(None)).parent

    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert stat.S_IMODE(own.parent.stat().st_mode) == 0o711


@needs_root
def test_another_user_writes_a_result_of_its_own(files: ResultFiles, nobody: Identity) -> None:
    place = files.place(nobody)

    assert act(nobody, f"echo 7 > {place}").returncode == 0
    assert files.read(place) == b"7"
    files.discard(place)
    assert not Path(place).parent.exists()


@needs_root
def test_another_user_cannot_put_something_else_in_the_place_of_its_folder(
    files: ResultFiles, nobody: Identity
) -> None:
    place = files.place(nobody)
    folder = Path(place).parent

    moved = act(nobody, f"mv {folder} {folder}.moved")
    top = act(nobody, f"mv {folder.parent} {folder.parent}.moved")
    listed = act(nobody, f"ls {folder.parent}")

    assert 0 not in (moved.returncode, top.returncode, listed.returncode)
    assert folder.is_dir()


@needs_root
@pytest.mark.parametrize("how", ["ln -s", "ln", "mv"])
def test_root_reads_no_file_of_roots_that_another_user_has_put_there(
    files: ResultFiles, nobody: Identity, how: str
) -> None:
    place = files.place(nobody)
    folder = Path(place).parent
    secret = folder / "secret"  # of root's, as a service may keep one in a user's folder
    secret.write_text('"root-only"')
    secret.chmod(0o600)

    # Root does it where the kernel's own protection forbids it to users.
    if act(nobody, f"{how} {secret} {place}").returncode != 0:
        subprocess.run([*how.split(), secret, place], check=True)

    with pytest.raises(BadResult, match=r"is a link|belongs to uid 0"):
        files.read(place)


@needs_root
def test_a_folder_that_another_user_has_filled_is_removed_and_no_link_followed(
    files: ResultFiles, nobody: Identity, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    place = files.place(nobody)
    folder = Path(place).parent
    act(nobody, f"cd {folder}; mkdir -p a/b; touch a/b/c; ln -s {kept} a/out; ln -s {kept} out")

    files.discard(place)
    files.close()

    assert not folder.parent.exists()
    assert (kept / "file").exists()


def test_results_are_taken_again_after_somebody_has_cleared_the_temporary_folder(
    files: ResultFiles,
) -> None:
    shutil.rmtree(Path(files.place(None)).parent.parent)

    place = files.place(None)
    Path(place).write_text("1")

    assert files.read(place) == b"1"


def test_what_a_killed_worker_left_is_removed(files: ResultFiles) -> None:
    place = files.place(None)
    Path(place).write_text("1")

    discard_results("mark-w1")

    assert not Path(place).parent.parent.exists()


@needs_root
def test_what_others_have_put_under_such_a_name_is_left_alone(
    files: ResultFiles, nobody: Identity, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    base = tempfile.gettempdir()
    act(nobody, f"mkdir {base}/jobrunner-mark-w1-x; touch {base}/jobrunner-mark-w1-x/file")
    act(nobody, f"ln -s {tmp_path} {base}/jobrunner-mark-w1-y")
    files.place(None)

    discard_results("mark-w1")

    assert sorted(os.listdir(base)) == ["jobrunner-mark-w1-x", "jobrunner-mark-w1-y"]
    assert Path(base, "jobrunner-mark-w1-x", "file").exists()
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'"\xff"', "not UTF-8"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'"\\ud800"', ""),
        (b"NaN", ""),
    ],
)
def test_a_result_that_is_no_json_is_refused_with_the_reason(
    files: ResultFiles, text: bytes, why: str
) -> None:
    place = files.place(None)
    Path(place).write_bytes(text)

    with pytest.raises(BadResult, match=f"is not JSON: .*{why}"):
        files.read(place)


def test_a_tree_of_any_depth_is_removed(files: ResultFiles) -> None:
    place = files.place(None)
    os.mkdir(place)
    folder = os.open(place, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=folder)
        os.close(os.open("file", os.O_CREAT, 0o600, dir_fd=folder))
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.fchmod(folder, 0)
    os.close(folder)

    files.close()

    assert os.listdir(tempfile.gettempdir()) == []


def test_links_in_a_tree_are_not_followed(files: ResultFiles, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    place = Path(files.place(None))
    (place / "a" / ".removed-0").mkdir(parents=True)
    (place / "a" / "link").symlink_to(tmp_path)
    (place / ".removed-0").mkdir()
    (place / ".removed-0" / "file").write_text("")

    files.close()

    assert os.listdir(tempfile.gettempdir()) == []
    assert (tmp_path / "kept").read_text() == "kept"
