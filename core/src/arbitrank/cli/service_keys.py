"""Options of `serve` for its keys, of TLS and of changes; their passwords are in files or in the environment."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from arbitrank.cli import options
from arbitrank.cli.stated_options import variable
from arbitrank.errors import InputError
from arbitrank.serve.settings import Tls
from arbitrank.store.key_files import SigningKey


def _tls(
    ssl_certfile: Path | None,
    ssl_keyfile: Path | None,
    ssl_keyfile_password: str | None,
    ssl_keyfile_password_file: Path | None,
) -> Tls:
    options.needs(
        "--ssl-certfile",
        ssl_certfile,
        ssl_keyfile=ssl_keyfile,
        ssl_keyfile_password_file=ssl_keyfile_password_file,
    )
    return Tls(ssl_certfile, ssl_keyfile, ssl_keyfile_password, ssl_keyfile_password_file)


def _not_on_the_command_line(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The value of an option that the environment alone may state: every user may read the command lines of others."""
    if value is not None and ctx.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE:
        name = parameter.opts[0]
        raise InputError(
            f"{name}: every user of this machine may read it on the command line; expected {name}-file FILE, or the "
            f"variable {variable(ctx.command, name.removeprefix('--'))}"
        )
    return value


def _signing(sign_key: Path | None, sign_key_password_file: Path | None) -> SigningKey:
    options.needs("--sign-key", sign_key, sign_key_password_file=sign_key_password_file)
    given = (sign_key, sign_key_password_file)
    return SigningKey(*(None if path is None else str(path) for path in given))


encryption = options.gathered(
    "tls",
    _tls,
    click.option("--ssl-certfile", type=options.PATH, metavar="FILE", help="Serve TLS with this certificate."),
    click.option("--ssl-keyfile", type=options.PATH, metavar="FILE", help="Its key, where that is in another file."),
    click.option(
        "--ssl-keyfile-password-file", type=options.PATH, metavar="FILE", help="The file of the password of the key."
    ),
    click.option("--ssl-keyfile-password", hidden=True, callback=_not_on_the_command_line),
)


signing = options.gathered(
    "signing",
    _signing,
    click.option(
        "--sign-key",
        type=options.PATH,
        metavar="FILE",
        help="Sign the changes that callers make with this private key; with --keys there are none without it.",
    ),
    click.option(
        "--sign-key-password-file", type=options.PATH, metavar="FILE", help="The file of the password of that key."
    ),
)
