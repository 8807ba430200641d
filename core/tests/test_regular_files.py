"""Bounded reads: only regular files, opened once, never waited for, never beyond their limit."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from arbitrank.errors import InputError, StoreError
from arbitrank.regular_files import open_regular, pieces, read_regular, writable_by_all
from arbitrank.serve.auth import read_tokens
from arbitrank.serve.policy import read_policy
from arbitrank.store.backend import FolderBackend
from arbitrank.store.history import MAX_ENTRY
from arbitrank.store.store import open_store

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")


def sparse(path: Path, size: int) -> None:
    """A file of this size, which takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(size)


def in_its_place(path: Path, kind: str) -> str:
    """Put something else than a regular file at a path; the words of the error for it."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
        return "device"
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            here = Path.cwd()
            os.chdir(path.parent)  # such a path has 108 characters at most
            one.bind(path.name)
            os.chdir(here)
        return "device or socket"
    else:
        sparse(path, 5 << 29)
        return "2684354560 bytes, expected at most"
    return kind


KINDS = ["pipe", "folder", "device", "socket", "large"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_or_too_large_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    words = in_its_place(tmp_path / "file", kind)
    with pytest.raises(OSError, match=words):
        read_regular(tmp_path / "file", 1 << 20)


def test_a_link_is_followed_unless_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "link", 7) == b"content"
    with pytest.raises(OSError, match="a link, expected a regular file"):
        read_regular(tmp_path / "link", 7, links=False)


def test_a_file_that_grows_while_it_is_read_ends_at_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    with open_regular(path, 20) as file:
        path.write_bytes(bytes(30))
        with pytest.raises(OSError, match="expected at most 20"):
            list(pieces(file, 20))
    with open_regular(path, 30) as file:
        assert sum(map(len, pieces(file, 30))) == 30


@pytest.mark.parametrize("kind", KINDS)
def test_a_history_of_one_name_that_cannot_be_read_is_refused_and_the_others_are_read(
    tmp_path: Path, kind: str
) -> None:
    for name in ("doors", "lights"):
        (tmp_path / name / "history").mkdir(parents=True)
    words = in_its_place(tmp_path / "doors" / "history" / "00000001.json", kind)
    store = open_store(tmp_path, environment={})
    if kind == "folder":  # which holds no entry
        assert store.state("doors")[0] == 0
        (tmp_path / "doors" / "history" / "00000001.json" / "x").write_bytes(b"")
    else:
        with pytest.raises(StoreError, match="link" if kind == "device" else words):
            store.state("doors")
    assert store.state("lights")[0] == 0


def test_an_entry_that_would_be_read_whole_is_not(tmp_path: Path) -> None:
    sparse(tmp_path / "x", MAX_ENTRY + 1)
    backend = FolderBackend(tmp_path)
    assert backend.read("x", MAX_ENTRY + 1) == bytes(MAX_ENTRY + 1)
    with pytest.raises(StoreError, match=f"x cannot be read: {MAX_ENTRY + 1} bytes, expected at most {MAX_ENTRY}"):
        backend.read("x", MAX_ENTRY)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_and_policy_are_regular_files_of_bounded_size(tmp_path: Path, kind: str) -> None:
    words = in_its_place(tmp_path / "file", kind)
    for read in (read_tokens, read_policy):
        with pytest.raises(InputError, match=words):
            read(tmp_path / "file")


def test_a_folder_that_every_user_may_change_is_told_from_others(tmp_path: Path) -> None:
    assert not writable_by_all(tmp_path)
    tmp_path.chmod(0o777)
    assert writable_by_all(tmp_path)
    tmp_path.chmod(0o770)
    assert not writable_by_all(tmp_path)
