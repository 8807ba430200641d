"""Options of a verb that makes a new version: the store or folder that it goes to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from arbitrank.cli import options
from arbitrank.errors import InputError
from arbitrank.guard import guarded
from arbitrank.store.artifact import Manifest, read_manifest
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Destination(NamedTuple):
    """Destination of a new version: `store`, signed with `key` and made stable with `promote`, or the folder `out`."""

    store: Store
    key: Ed25519PrivateKey | None
    promote: bool
    out: Path | None

    def check(self, name: str) -> None:
        """Raise `InputError` for --promote where an audit set makes the gate the judge of new versions, and for --out
        with a folder of another domain's weights."""
        found = guarded(read_manifest, self.out) if self.out else None
        if self.out and isinstance(found, Manifest) and found.domain.lstrip(".") != name.lstrip("."):
            text = f"holds the weights of {found.domain}, expected a folder of {name} or a new one"
            raise InputError(f"--out {self.out}: {text}; name another, or remove it")
        if self.promote and not self.out and self.store.audit_set() is not None:
            raise InputError(
                f"--promote: {self.store} has an audit set, by which the gate judges new versions; run without it, "
                f"then: arbitrank promote {name}"
            )

    def __str__(self) -> str:
        return str(self.out) if self.out else f"{'stable' if self.promote else 'candidate'} in {self.store}"


destination_option = options.gathered(
    "destination",
    lambda store, promote, out: Destination(store, store.key, promote, out),
    options.changed_store,
    click.option(
        "--promote", is_flag=True, help="Make the new version stable at once, where the store has no audit set."
    ),
    click.option("--out", type=options.PATH, help="Write the artifact here, and publish nothing."),
)
"""The options of a training's result, which the verb receives as `destination: Destination`."""
