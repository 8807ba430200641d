"""The options --box and its companions, which put domains of environments into boxes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from arbitrank.boxed import BOX
from arbitrank.cli import options
from arbitrank.errors import InputError
from arbitrank.isolation.box import READ, REQUIRED, USER

__all__ = ["boxing"]


def _export(box: Sequence[str], box_required: bool, box_read: Sequence[Path], as_user: str | None) -> None:
    """State the options to this process and to those that it starts. Raises `InputError`."""
    if as_user is not None and os.geteuid() != 0:
        raise InputError(f"--as-user {as_user}: needs a service that runs as root, and this one does not")
    stated = {
        BOX: ",".join(box),
        REQUIRED: "1" if box_required else "",
        READ: os.pathsep.join(map(str, box_read)),
        USER: as_user or "",
    }
    os.environ.update({name: text for name, text in stated.items() if text})


boxing = options.gathered(
    "boxing",
    _export,
    click.option(
        "--box",
        metavar="DOMAIN|all",
        multiple=True,
        help="Keep this domain of --environments in a box: no other files, no network, no new processes; all: every "
        "one. Default ARBITRANK_BOX. May be repeated.",
    ),
    click.option("--box-required", is_flag=True, help="Refuse boxed domains where the kernel lacks a measure."),
    click.option(
        "--box-read",
        type=options.PATH,
        metavar="DIR",
        multiple=True,
        help="A further folder that boxed domains may read. May be repeated.",
    ),
    click.option("--as-user", metavar="USER", help="Run boxed domains as this user, where the service runs as root."),
)
"""The options; the verb receives None for them, as discovery and workers read the environment variables."""
