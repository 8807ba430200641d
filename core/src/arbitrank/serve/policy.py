"""Reader of the file of the operator's policy."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from arbitrank.arbitration.policy import Policy
from arbitrank.errors import InputError
from arbitrank.regular_files import read_regular
from arbitrank.store.key_files import check_unwritable

_MAX_BYTES = 1 << 20


def read_policy(path: Path) -> Policy:
    """The policy in a TOML file. Raises `InputError` that names the key, the value seen and the value expected."""
    try:
        raw = read_regular(path, _MAX_BYTES)
        check_unwritable(path, "policy")
        return msgspec.convert(tomllib.loads(raw.decode("utf-8-sig")), Policy)
    except OSError as error:
        raise InputError(f"policy {path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # TOML's and msgspec's errors are among these
        raise InputError(f"policy {path}: {' '.join(str(error).split())}") from error
