"""The options --box and its companions, which put domains of environments into boxes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from arbitrank.boxed import BOX
from arbitrank.errors import InputError
from arbitrank.isolation.box import READ, REQUIRED, USER

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _exported(variable: str, separator: str) -> Callable[[click.Context, click.Parameter, Sequence[object]], None]:
    """A callback that states the values to this process and to those that it starts."""

    def export(context: click.Context, parameter: click.Parameter, values: Sequence[object]) -> None:
        if values:
            os.environ[variable] = separator.join(map(str, values))

    return export


def _required(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        os.environ[REQUIRED] = "1"


def _user(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        if os.geteuid() != 0:
            raise InputError(f"--as-user {value}: needs a service that runs as root, and this one does not")
        os.environ[USER] = value


def boxing(function: Callable[..., None]) -> Callable[..., None]:
    """The options, none of which the verb receives: discovery and workers read the environment variables."""
    options: Sequence[Decorator] = (
        click.option(
            "--box",
            metavar="DOMAIN|all",
            multiple=True,
            expose_value=False,
            callback=_exported(BOX, ","),
            help="Keep this domain of --environments in a box: no other files, no network, no new processes; all: "
            "every one. Default ARBITRANK_BOX. May be repeated.",
        ),
        click.option(
            "--box-required",
            is_flag=True,
            expose_value=False,
            callback=_required,
            help="Refuse boxed domains where the kernel lacks a measure.",
        ),
        click.option(
            "--box-read",
            type=click.Path(exists=True, path_type=Path, resolve_path=True),
            metavar="DIR",
            multiple=True,
            expose_value=False,
            callback=_exported(READ, os.pathsep),
            help="A further folder that boxed domains may read. May be repeated.",
        ),
        click.option(
            "--as-user",
            metavar="USER",
            expose_value=False,
            callback=_user,
            help="Run boxed domains as this user, where the service runs as root.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function
