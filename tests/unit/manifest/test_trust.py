"""Whose word a manifest is: owners, rights, links and folders; the files are real ones."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobrunner.daemon.plan import make_plan
from jobrunner.errors import ManifestError
from jobrunner.locate import Use, choose_manifest, find_store
from jobrunner.manifest.trust import Guard, Untrusted, open_guarded

NOBODY = 65534
MANIFEST = "name: shop\ntasks: {a: {command: 'true'}}\n"
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")

Read = Callable[[Path, Guard], str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of ours, also when the tests' umask lets the group write."""
    made = tmp_path / "shop"
    made.mkdir()
    made.chmod(0o755)
    return made


@pytest.fixture
def manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the current folder."""
    monkeypatch.chdir(folder)
    path = folder / "jobs.yaml"
    path.write_text(MANIFEST)
    path.chmod(0o644)
    return path


def read(path: Path, guard: Guard) -> str:
    with open(open_guarded(path, guard)) as file:
        return file.read()


def give_away(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@pytest.mark.parametrize("guard", Guard)
def test_what_only_we_can_write_is_read(manifest: Path, guard: Guard) -> None:
    assert read(manifest, guard) == MANIFEST


@pytest.mark.parametrize("guard", [Guard.FILES, Guard.FOLDERS, Guard.OWN])
def test_what_everybody_can_write_is_not_read(manifest: Path, guard: Guard) -> None:
    manifest.chmod(0o646)

    with pytest.raises(Untrusted, match="everybody") as refused:
        read(manifest, guard)

    assert str(manifest) in refused.value.what
    assert "--trust" in (refused.value.fix or "")
    assert read(manifest, Guard.NONE) == MANIFEST


@as_root
@pytest.mark.parametrize("guard", [Guard.FILES, Guard.FOLDERS, Guard.OWN])
def test_what_belongs_to_another_user_is_not_read(manifest: Path, guard: Guard) -> None:
    give_away(manifest)

    with pytest.raises(Untrusted, match=r"belongs to user \w+"):
        read(manifest, guard)


@as_root
def test_a_group_without_other_members_may_write_one_with_others_may_not(manifest: Path) -> None:
    manifest.chmod(0o664)
    os.chown(manifest, 0, 54321)  # nobody's group

    assert read(manifest, Guard.FILES) == MANIFEST

    os.chown(manifest, 0, NOBODY)  # of `nobody`, who is listed in no group
    with pytest.raises(Untrusted, match="the members of group"):
        read(manifest, Guard.FILES)


@as_root
def test_an_access_list_that_lets_somebody_write_counts_as_a_group(manifest: Path) -> None:
    entries = [(1, 6, 2**32 - 1), (2, 6, NOBODY), (4, 4, 2**32 - 1), (16, 6, 2**32 - 1), (32, 4, 0)]
    listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries)
    try:
        os.setxattr(manifest, "system.posix_acl_access", listed)
    except OSError:
        pytest.skip("the file system has no access lists")

    with pytest.raises(Untrusted, match="access list"):
        read(manifest, Guard.FILES)


@as_root
def test_a_link_of_another_user_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text(MANIFEST)
    link = folder / "jobs.yaml"
    link.symlink_to(tmp_path / "real.yaml")

    assert read(link, Guard.FILES) == MANIFEST
    give_away(link)
    with pytest.raises(Untrusted, match="a link to it belongs to"):
        read(link, Guard.FILES)


def test_links_that_lead_in_a_circle_end(folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")

    with pytest.raises(OSError, match="symbolic links"):
        read(folder / "a", Guard.FOLDERS)


@pytest.mark.parametrize("rights", [0o777, 0o1777])
def test_a_file_in_a_folder_that_others_can_write_is_read_but_not_run(
    manifest: Path, folder: Path, rights: int
) -> None:
    folder.chmod(rights)

    assert read(manifest, Guard.FILES) == MANIFEST
    with pytest.raises(Untrusted, match=f"the folder {folder} may be written by everybody"):
        read(manifest, Guard.FOLDERS)


def test_a_sticky_folder_on_the_way_lets_nobody_replace_what_is_ours(
    manifest: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o1777)
    assert read(manifest, Guard.FOLDERS) == MANIFEST

    tmp_path.chmod(0o777)
    with pytest.raises(Untrusted, match=f"the folder {tmp_path} "):
        read(manifest, Guard.FOLDERS)


def test_a_found_manifest_is_guarded_a_named_or_trusted_one_is_not(manifest: Path) -> None:
    here = {"JOBRUNNER_FILE": str(manifest)}

    assert choose_manifest(None, {}).guard is Guard.FILES
    assert choose_manifest(manifest, {}).guard is Guard.NONE
    assert choose_manifest(None, here).guard is Guard.NONE
    assert choose_manifest(None, {}, is_trusted=True).guard is Guard.NONE
    assert choose_manifest(None, {"JOBRUNNER_TRUST": "1"}).guard is Guard.NONE
    assert choose_manifest(None, {"JOBRUNNER_TRUST": "0"}).guard is Guard.FILES
    assert choose_manifest(manifest, {}, use=Use.COMPLETE).guard is Guard.OWN


def test_root_runs_no_manifest_that_others_can_write_also_when_it_is_named(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uid, guard in ((0, Guard.FOLDERS), (1000, Guard.NONE)):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert choose_manifest(manifest, {}, use=Use.RUN).guard is guard


def test_a_note_of_the_endpoint_does_not_make_a_manifest_trusted(
    manifest: Path, tmp_path: Path
) -> None:
    from jobrunner.locate import note_endpoint

    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    note_endpoint(find_store(None, environ), environ)
    manifest.chmod(0o666)

    with pytest.raises(Untrusted):
        find_store(None, environ)
    with pytest.raises(Untrusted):
        find_store(manifest, environ, use=Use.COMPLETE)
    assert find_store(manifest, environ).name == "shop"


@pytest.mark.parametrize(
    ("text", "open_to_others", "place"),
    [
        ("include: more.yaml\n", "more.yaml", ":2:10"),
        ("include: 'm*.yaml'\n", "more.yaml", ":2:10"),
        ("env_file: secrets.env\n", "secrets.env", ":2:1"),
        ("imports: [mine]\n", "mine.py", ":2:1"),
    ],
)
def test_what_a_guarded_manifest_reads_is_guarded_too(
    manifest: Path, folder: Path, text: str, open_to_others: str, place: str
) -> None:
    manifest.write_text(f"name: shop\n{text}")
    file = folder / open_to_others
    body = "open('imported', 'w').close()\n" if file.suffix == ".py" else ""
    file.write_text(body or ("tasks: {}\n" if file.suffix == ".yaml" else "A=1\n"))
    file.chmod(0o666)

    with pytest.raises(ManifestError) as refused:
        make_plan(manifest, os.environ, Guard.FILES)

    [problem] = refused.value.problems
    assert f"{file} is not trusted: it may be written by everybody" in problem.what
    assert str(problem.where).startswith(f"{manifest}{place}")
    assert not (folder / "imported").exists()
    make_plan(manifest, os.environ)


def test_a_module_in_a_package_is_guarded_also_when_it_was_compiled(
    manifest: Path, folder: Path
) -> None:
    manifest.write_text("imports: [pack.mine]\n")
    package = folder / "pack"
    package.mkdir()
    (package / "__init__.py").touch(0o644)
    module = package / "mine.py"
    module.write_text("VALUE = 1\n")
    module.chmod(0o644)
    make_plan(manifest, os.environ, Guard.FILES)
    compiled = [*package.glob("__pycache__/mine*.pyc")]
    subprocess.run([sys.executable, "-m", "compileall", "-q", package], check=True)

    [cached] = compiled or package.glob("__pycache__/mine*.pyc")
    cached.chmod(0o666)
    make_plan(manifest, os.environ, Guard.FILES)  # it is compiled anew

    cached.chmod(0o644)
    module.chmod(0o666)
    with pytest.raises(ManifestError, match="1 problem"):
        make_plan(manifest, os.environ, Guard.FILES)


def test_a_folder_of_packages_that_others_can_write_is_refused_to_root(
    manifest: Path, folder: Path
) -> None:
    manifest.write_text("imports: [pack.mine]\n")
    package = folder / "pack"
    package.mkdir()
    (package / "__init__.py").touch(0o644)
    (package / "mine.py").touch(0o644)
    package.chmod(0o777)

    with pytest.raises(ManifestError) as refused:
        make_plan(manifest, os.environ, Guard.FOLDERS)

    assert f"the folder {package} may be written by everybody" in refused.value.problems[0].what


def test_an_env_file_that_is_not_there_yet_is_in_a_folder_of_ours_when_root_runs_it(
    manifest: Path, folder: Path
) -> None:
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    manifest.write_text("tasks: {a: {command: 'true', env_file: open/later.env}}\n")

    with pytest.raises(ManifestError):
        make_plan(manifest, os.environ, Guard.FOLDERS)
    make_plan(manifest, os.environ, Guard.FILES)


def test_a_module_of_a_trusted_manifest_may_ask_for_that_manifest(
    manifest: Path, folder: Path
) -> None:
    manifest.write_text("name: shop\nimports: [mine]\n")
    manifest.chmod(0o666)
    (folder / "mine.py").write_text("from jobrunner.locate import find_store\nfind_store()\n")

    make_plan(manifest, os.environ, Guard.NONE)
