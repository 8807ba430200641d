"""Pickles in an artifact are found by their content, and refused; numbers and text are not taken for them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import fakes
import numpy as np
import pytest

from arbitrank.errors import ArtifactError
from arbitrank.store.artifact_checks import verified
from arbitrank.store.pickles import pickled

VALUE = {"weights": [1.5, 2.5], "names": OrderedDict(a=1)}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["weights.json", "model.txt", "model.bin"])
def test_a_pickle_of_any_protocol_is_found_whatever_its_name(tmp_path: Path, protocol: int, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(VALUE, protocol))
    assert pickled(tmp_path / name) == "a pickle by its content"


def test_a_pickle_inside_of_a_file_is_found(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "objects.npz", a=np.array([VALUE], dtype=object))
    with zipfile.ZipFile(tmp_path / "torch.pt", "w") as archive:
        archive.writestr("archive/data", pickle.dumps(VALUE))
    (tmp_path / "packed.txt").write_bytes(gzip.compress(pickle.dumps(VALUE)))
    (tmp_path / "m.pkl").write_text("no pickle at all")
    reasons = {path.name: pickled(path) for path in tmp_path.iterdir()}
    assert all(reasons.values()), reasons
    assert reasons["objects.npy"] == "an array of objects, a pickle"
    assert reasons["objects.npz"] == "which holds an array of objects (a.npy), a pickle"
    assert reasons["m.pkl"] == "a pickle by its name"


CALLS = b"cos\nsystem\n(S'true'\ntR."
"""A pickle of protocol 0 that runs a command, as an attacker would write it."""


def zipped(*members: tuple[str, bytes]) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return file.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        return file.getvalue()


def saved() -> bytes:
    with io.BytesIO() as file:
        np.save(file, np.arange(5.0))
        return file.getvalue()


ARRAY = saved()
NUMBERS = [(f"{i}.npy", b"0") for i in range(1_000)]
HIDDEN = {
    "zip in zip": zipped(("a", zipped(("b", CALLS)))),
    "behind numbers": zipped(*NUMBERS, ("last", CALLS)),
    "zip behind other content": b"tree\nversion=v4\n" + zipped(("a", CALLS)),
    "tar": tarred("a", CALLS),
    "tar.gz": gzip.compress(tarred("a", CALLS)),
    "tar.xz in zip": zipped(("a", lzma.compress(tarred("b", CALLS)))),
    "bz2": bz2.compress(CALLS),
    "lzma": lzma.compress(CALLS, lzma.FORMAT_ALONE),
    "zlib, as joblib writes it": zlib.compress(CALLS),
    "gzip without its end": gzip.compress(CALLS)[:-6],
    "zlib with another checksum": zlib.compress(CALLS)[:-4] + bytes(4),
    "bz2 with another checksum": bz2.compress(CALLS)[:-5] + bytes(5),
    "gzip with another checksum": gzip.compress(CALLS)[:-8] + bytes(8),
    "too deep": zipped(("a", zipped(("b", zipped(("c", zipped(("d", zipped(("e", CALLS)))))))))),
    "zstd": b"\x28\xb5\x2f\xfd" + bytes(20),
    "calls, then no pickle": CALLS[:-1] + b"\xff and what follows is no opcode",
    "calls, behind a long list": b"(" + b"I1\n" * 5_000 + b"l0" + CALLS,
    "protocol 2, damaged": b"\x80\x02" + CALLS[:-1] + b"\xff",
    "an object of a class": b"(ios\nsystem\n.",
    "large": pickle.dumps([0.5] * 200_000, 0),
}


@pytest.mark.parametrize("kind", HIDDEN)
def test_a_pickle_that_is_hidden_is_found(tmp_path: Path, kind: str) -> None:
    (tmp_path / "model.npz").write_bytes(HIDDEN[kind])
    assert pickled(tmp_path / "model.npz")


def test_an_archive_that_is_encrypted_is_refused(tmp_path: Path) -> None:
    raw = bytearray(zipped(("a", b"0" * 100)))
    for start in (raw.index(b"PK\x03\x04") + 6, raw.index(b"PK\x01\x02") + 8):
        raw[start] |= 1  # the flag of encryption
    (tmp_path / "model.npz").write_bytes(raw)
    assert "cannot be inspected for pickles" in str(pickled(tmp_path / "model.npz"))


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", json.dumps([0.5, {"a": 1}]).encode(), b"tree\nversion=v4\n", b"I am a text.", b"0.5\n", b"lCRF\x00",
     b"cat\ndog\nRat\n", b"(in brackets)\nand more\n", b"PK and no archive", b"x\x9c and no zlib", b"BZh", b"\x1f\x8b",
     zipped(("a.npy", ARRAY)), zipped(("a", gzip.compress(ARRAY))),
     gzip.compress(b"0.5 0.25\n" * 100_000), b"\x80 and no pickle"],
)  # fmt: skip
def test_numbers_and_text_are_no_pickles(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.json").write_bytes(content)
    assert pickled(tmp_path / "weights.json") is None


def test_arrays_of_numbers_are_no_pickles(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(5), b=np.ones((2, 2)), c=np.array(["a", "b"]))
    assert pickled(tmp_path / "a.npz") is None


def test_an_artifact_with_a_pickle_is_not_verified(tmp_path: Path) -> None:
    (tmp_path / "zoo" / "reranker").mkdir(parents=True)
    (tmp_path / "zoo" / "reranker" / "extra.json").write_bytes(pickle.dumps(VALUE))
    (tmp_path / "zoo" / "reranker" / "weights.json").write_text("{}")
    (tmp_path / "zoo" / "card.json").write_text("{}")
    fakes.seal(tmp_path / "zoo", fakes.Manifest(domain="zoo", package="p", package_version="1"))
    with pytest.raises(ArtifactError, match=r"reranker/extra.json: a pickle by its content, expected JSON"):
        verified(tmp_path / "zoo")
