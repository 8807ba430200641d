"""Pickles in an artifact are found by their content, and refused; numbers and text are not taken for them."""

from __future__ import annotations

import gzip
import json
import pickle
import zipfile
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


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", json.dumps([0.5, {"a": 1}]).encode(), b"tree\nversion=v4\n", b"I am a text.", b"0.5\n", b"lCRF\x00"],
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
