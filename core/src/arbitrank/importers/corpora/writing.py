"""Writing of an imported corpus into a folder: lines as JSON Lines, patterns and lists as TOML."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from arbitrank.errors import InputError, os_errors
from arbitrank.extras import required
from arbitrank.importers.corpora.gathered import Gathered
from arbitrank.normal_text import printable

__all__ = ["files_of", "write_files"]

_HEAD = "# Imported; edit it as you like.\n"


def files_of(found: Gathered) -> dict[str, bytes]:
    """The files of an import by name: `corpus.jsonl`, or one of each split; `patterns.toml`, `lists.toml`.

    Raises `InputError` where tomli-w is missing.
    """
    files = {f"{split}.jsonl": _lines(found, split) for split in found.splits}
    if found.patterns or found.lists:
        with required("patterns.toml and lists.toml"):
            import tomli_w
        head = _HEAD
        for name, kind in found.supplied.items():
            head += (
                f"# {printable(name)}: not in the source ({printable(kind)[:80]}); replace its values by your own.\n"
            )
        files["lists.toml"] = (head + "\n" + tomli_w.dumps(found.lists)).encode()
        if found.patterns:
            files["patterns.toml"] = (_HEAD + "\n" + tomli_w.dumps(found.patterns)).encode()
    return files


def _lines(found: Gathered, split: str) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in found.splits[split])


def write_files(files: Mapping[str, bytes], out: Path, force: bool = False) -> None:
    """Write files into a folder, each as a whole or not at all.

    Raises `InputError` where a file is there already and `force` is not set; then nothing is written.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file, expected a folder")
    taken = [name for name in files if (out / name).exists()]
    if taken and not force:
        raise InputError(f"--out: {out} has {', '.join(taken)} already; name another folder, or replace with --force")
    with os_errors(InputError, f"--out: {out}"):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=out) as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            for name in files:
                os.replace(Path(folder) / name, out / name)
