"""Private copies: what is loaded is what was verified, whatever is exchanged in the store meanwhile."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from arbitrank.errors import ArtifactError, StoreError
from arbitrank.store import artifact_checks, private_copies
from arbitrank.store.artifact import MANIFEST, Manifest, read_manifest, seal
from arbitrank.store.private_copies import private_folder, temporary_folder
from arbitrank.store.store import Store, open_store

GOOD, EVIL = b'{"good": 1}', b'{"evil": 1}'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Store:
    return open_store(root, environment={})


def made(folder: Path, content: bytes = GOOD) -> Path:
    (folder / "reranker").mkdir(parents=True)
    (folder / "reranker" / "weights.json").write_bytes(content)
    seal(folder, Manifest(domain="lights", package="p", package_version="1"))
    return folder


@pytest.fixture
def version(tmp_path: Path, store: Store) -> str:
    return store.publish(made(tmp_path / "made"), promote=True).version


def exchanged_at(
    monkeypatch: pytest.MonkeyPatch, moment: Callable[[Path], bool], exchange: Callable[[], object]
) -> None:
    """Call `exchange` right after a file for which `moment` holds was read in the verification."""
    read = artifact_checks.pieces

    def reading(file: BinaryIO, limit: int) -> Iterator[bytes]:
        yield from read(file, limit)
        if moment(Path(file.name if isinstance(file.name, str) else os.readlink(f"/proc/self/fd/{file.fileno()}"))):
            exchange()

    monkeypatch.setattr(artifact_checks, "pieces", reading)


EXCHANGES: dict[str, Callable[[Path], Any]] = {
    "file": lambda file: file.write_bytes(EVIL),
    "another file in its place": lambda file: (file.unlink(), file.write_bytes(EVIL)),
    "link": lambda file: (file.unlink(), file.symlink_to("/dev/zero")),
    "pipe": lambda file: (file.unlink(), os.mkfifo(file)),
    "growing": lambda file: file.open("ab").write(EVIL * 1000),
    "gone": lambda file: file.unlink(),
    "manifest": lambda file: (file.parent.parent / MANIFEST).write_text("{}"),
}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="finds the path of an open file there")
@pytest.mark.parametrize("kind", EXCHANGES)
def test_what_is_exchanged_once_it_was_read_is_not_loaded(
    monkeypatch: pytest.MonkeyPatch, root: Path, store: Store, version: str, kind: str
) -> None:
    file = root / "lights" / version / "reranker" / "weights.json"
    exchanged_at(monkeypatch, lambda path: path == file, lambda: EXCHANGES[kind](file))
    folder = store.fetch("lights", version)
    assert (folder / "reranker" / "weights.json").read_bytes() == GOOD
    assert read_manifest(folder).version == version
    assert store.fetch("lights", version) == folder  # and the store is not read again


@pytest.mark.parametrize("kind", ["file", "link", "pipe", "gone"])
def test_what_was_exchanged_before_it_is_read_is_refused(root: Path, store: Store, version: str, kind: str) -> None:
    EXCHANGES[kind](root / "lights" / version / "reranker" / "weights.json")
    before = set(private_folder().iterdir())
    with pytest.raises(ArtifactError, match=r"weights\.json"):
        store.fetch("lights", version)
    assert set(private_folder().iterdir()) == before


def test_a_hard_link_of_a_file_changes_nothing_in_the_copy(root: Path, store: Store, version: str) -> None:
    file = root / "lights" / version / "reranker" / "weights.json"
    os.link(file, root / "beside")
    folder = store.fetch("lights", version)
    (root / "beside").write_bytes(EVIL)
    assert (folder / "reranker" / "weights.json").read_bytes() == GOOD


def test_what_is_promoted_and_rolled_back_to_is_read_from_the_store_again(
    tmp_path: Path, root: Path, store: Store, version: str
) -> None:
    store.publish(made(tmp_path / "next", b"{}"), promote=True)
    store.fetch("lights", version)
    (root / "lights" / version / "reranker" / "weights.json").write_bytes(EVIL)
    with pytest.raises(ArtifactError, match=r"weights\.json"):
        store.rollback("lights")


def test_a_copy_stays_for_one_change_after_its_version_is_named_no_more(store: Store, version: str) -> None:
    folder = store.fetch("lights", version)
    store.keep("lights", [version])
    store.keep("doors", [])
    store.keep("lights", [])
    assert folder.is_dir()
    store.keep("lights", [])
    assert not folder.exists()
    assert store.fetch("lights", version) != folder


def test_a_private_folder_is_its_users_alone_and_fresh_in_each_process() -> None:
    folder = private_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert private_folder() == folder
    with temporary_folder() as one:
        assert one.is_relative_to(folder)
    assert not one.exists()
    code = "from arbitrank.store.private_copies import private_folder as f; print(f())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    other = Path(run.stdout.strip())
    assert other != folder
    assert not other.exists()  # removed at its exit


def test_what_a_killed_process_left_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(private_copies.tempfile, "gettempdir", lambda: str(tmp_path))
    one = private_copies._made()
    assert private_copies._made().folder != one.folder
    assert one.folder.is_dir()  # its process lives
    os.close(one.lock)
    three = private_copies._made()
    assert not one.folder.exists()
    assert three.folder.is_dir()


def test_a_folder_of_temporary_files_in_which_others_may_exchange_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(private_copies.tempfile, "gettempdir", lambda: str(tmp_path))
    tmp_path.chmod(0o777)
    with pytest.raises(StoreError, match=r"expected the sticky bit; run: chmod \+t .*, or set TMPDIR"):
        private_copies._made()
    tmp_path.chmod(0o1777)
    private_copies._made()
