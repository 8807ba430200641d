"""What the slot tagger sees of each token."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.nlu.text import tokenise
from arbitrank.nlu.token_features import PER_TOKEN, attributes


def hashed(*names: str) -> list[int]:
    return [crc32(name.encode("utf-8", "surrogatepass")) for name in names]


def test_the_attributes_of_a_token_are_these() -> None:
    promised = [
        "bias",
        "w hall2",
        "w-1 dim",
        "w+1 now",
        "w-2 \x02",
        "w+2 \x03",
        "w-1w dim hall2",
        "ww+1 hall2 now",
        "w-2w-1 \x02 dim",
        "w+1w+2 now \x03",
        "pre1 h",
        "pre2 ha",
        "pre3 hal",
        "suf1 2",
        "suf2 l2",
        "suf3 ll2",
        "shape mixed",
        "pre4 hall",
        "suf4 all2",
        "suf3-1 dim",
        "suf3+1 now",
        "shape-1 word",
        "shape+1 word",
    ]
    assert attributes("dim Hall2 now")[1].tolist() == hashed(*promised)


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("hall", "word"),
        ("7", "digits1"),
        ("1999", "digits4"),
        ("1234567", "digits5"),
        ("u2", "mixed"),
        ("!", "mark"),
        ("灯", "word"),
    ],
)
def test_the_shape_of_a_word(word: str, shape: str) -> None:
    assert attributes(word)[0, 16] == crc32(f"shape {shape}".encode())


@given(st.text(max_size=20))
def test_every_token_has_as_many_attributes(utterance: str) -> None:
    found = attributes(utterance)
    assert found.shape == (len(tokenise(utterance)), PER_TOKEN)
    assert found.dtype == np.uint32
    for token, row in zip(tokenise(utterance), found.tolist(), strict=True):
        assert row[:2] == hashed("bias", f"w {token.text}")
