"""The option --environments of verbs that find, install or follow domains in environments of their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from arbitrank.registry import ENVIRONMENTS


def _exported(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Have discovery find the domains of that folder too, in this process and in those that it starts."""
    if value is not None:
        from arbitrank.environments.folders import check_platform

        check_platform()
        os.environ[ENVIRONMENTS] = str(value.resolve())
    return value


def option(*, required: bool = False, exposed: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option, which also sets the environment variable that discovery reads."""
    return click.option(
        "--environments",
        type=click.Path(path_type=Path),
        metavar="DIR",
        envvar=ENVIRONMENTS,
        required=required,
        expose_value=exposed,
        callback=_exported,
        help="The folder of domains' own environments; default ARBITRANK_ENVIRONMENTS.",
    )


folder = option(required=True)
"""`--environments`, without which the verb does nothing."""

followed = option()
"""`--environments`, whose domains are found too."""

unexposed = option(exposed=False)
"""`--environments` for verbs that have no parameter for it: discovery reads the environment variable."""
