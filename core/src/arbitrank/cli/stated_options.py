"""Options that environment variables and a table of the configuration file may state too, derived from the options.

`--limit-body` of `serve` is `limit-body` in the table `[serve]`, and ARBITRANK_SERVE_LIMIT_BODY. The first that states
an option has it: the command line, the environment, the file. Of an option that may be repeated, it has the whole list.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from arbitrank.configuration import ENVIRONMENT, SCALES, SHARED_TEXTS, STATABLE, Configuration, configured
from arbitrank.errors import InputError
from arbitrank.registry import ENVIRONMENTS
from arbitrank.scales import short
from arbitrank.store.key_files import KEY_ENVIRONMENT
from arbitrank.store.signing import KEYS_ENVIRONMENT
from arbitrank.store.store import ENVIRONMENT as STORE_ENVIRONMENT

SHARED: Mapping[str, str] = {
    "config": ENVIRONMENT,
    "store": STORE_ENVIRONMENT,
    "keys": KEYS_ENVIRONMENT,
    "environments": ENVIRONMENTS,
    "signing-key": KEY_ENVIRONMENT,
    "scale": SCALES,
    "group": "ARBITRANK_GROUPS",
    **{name.replace("_", "-"): f"ARBITRANK_{name.upper()}" for name in STATABLE if name != "groups"},
}
"""The variables that all verbs read, by option."""

_COMMAND_LINE_ALONE = ("config", "show_config")  # a file names no other; `stated` takes care of its variable
_COMMAND_LINE, _DEFAULT = "command line", "default"
_SECRET = re.compile(r"(password|secret|webhook)(?!.*-file)")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_STATED, _ARGUMENTS = "arbitrank.stated_options", "arbitrank.arguments"  # where a context keeps them
_AGAIN = "arbitrank.again"  # where a context keeps the list of `stating_again`


class Statement(NamedTuple):
    """The value that an option is given, as text or TOML, and its source: a variable, or a file and its key."""

    value: Any
    source: str


class StatedCommand(click.Command):
    """Command whose options are also read from the environment and from its table of the configuration file."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for name, option in statable(self).items():
            if isinstance(option.envvar, str):  # that of all verbs, before which its own goes
                option.envvar = [variable(self, name), option.envvar]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, with what environment and file state as defaults.

        Raises `InputError` for an unknown key or variable, and for a value that its option does not take.
        """
        given: Mapping[str, Any] = {}
        if not ctx.resilient_parsing:
            given, _, _ = self.make_parser(ctx).parse_args(list(args))
        help_option = self.get_help_option(ctx)
        if ctx.resilient_parsing or (help_option and help_option.name in given):
            return super().parse_args(ctx, args)
        ctx.meta[_ARGUMENTS] = list(args)
        statements = stated(self, given.get("config"))
        ctx.meta[_STATED] = {**statements, **{name: Statement(value, _COMMAND_LINE) for name, value in given.items()}}
        ctx.default_map = {name: statement.value for name, statement in statements.items()}
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            name = error.param.name if error.param else None
            if name not in statements or ctx.get_parameter_source(name) is not ParameterSource.DEFAULT_MAP:
                raise
            raise InputError(f"{statements[name].source}: {error.message}") from None


def statable(command: click.Command) -> dict[str, click.Option]:
    """The options of a command that may be stated elsewhere, by their names without dashes."""
    found = {}
    for option in command.params:
        if isinstance(option, click.Option) and option.name not in _COMMAND_LINE_ALONE:
            name = next(text for text in option.opts if text.startswith("--"))
            found[name.removeprefix("--")] = option
    return found


def variable(command: click.Command, name: str) -> str:
    """The environment variable of an option."""
    return f"ARBITRANK_{command.name}_{name}".upper().replace("-", "_")


def stated(
    command: click.Command, config: str | Path | None, environment: Mapping[str, str] = os.environ
) -> dict[str, Statement]:
    """The statements of environment and file by the names of parameters; `config` is the file that is named, if any.

    Raises `InputError` for an unknown key or variable, and for a value of another type.
    """
    options = statable(command)
    found: dict[str, Statement] = {}
    own = variable(command, "config")
    if config is None and environment.get(own):
        config = environment[own]
        found["config"] = Statement(config, own)
    file = configured(None if config is None else Path(config), environment)
    for name, value in _table(command, file, options).items():
        option, source = options[name], f"{file.where}: {command.name}.{name}"
        if not environment.get(SHARED.get(name, "")):  # a variable goes before the file
            found[str(option.name)] = Statement(_of_toml(option, value, source), source)
    for name, text in _variables(command, options, environment).items():
        found[str(options[name].name)] = Statement(_of_text(options[name], text), variable(command, name))
    return found


def _table(command: click.Command, file: Configuration, options: Mapping[str, click.Option]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in getattr(file, str(command.name)).items():
        name = key.replace("_", "-")
        where = f"{file.where}: {command.name}: key {short(key)}"
        if name not in options:
            raise InputError(f"{where}: unknown, expected an option of arbitrank {command.name}{_near(name, options)}")
        if name in found:
            raise InputError(f"{where}: stated twice, expected once")
        found[name] = value
    return found


def _variables(
    command: click.Command, options: Mapping[str, click.Option], environment: Mapping[str, str]
) -> dict[str, str]:
    """The variables that are set and not empty, by option; of the configuration file's name, `stated` takes care."""
    names = {variable(command, name): name for name in options}
    prefix = variable(command, "")
    for key in environment:
        if key.startswith(prefix) and key not in names and key != variable(command, "config"):
            expected = f"expected {prefix} and an option of arbitrank {command.name}"
            raise InputError(f"{key}: unknown variable, {expected}{_near(key, names)}")
    return {name: environment[key] for key, name in names.items() if environment.get(key)}


def _near(word: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _of_text(option: click.Option, text: str) -> Any:
    """The text of a variable, or the texts of an option that may be repeated: separated by blanks, with quotes.

    Paths may be separated as in PATH, too.
    """
    if not option.multiple:
        return text
    try:
        parts = shlex.split(text)
    except ValueError:  # a quotation mark that is not closed
        parts = text.split()
    if isinstance(option.type, click.Path):
        parts = [path for part in parts for path in part.split(os.pathsep) if path]
    return parts


def _of_toml(option: click.Option, value: Any, where: str) -> Any:
    """The value from the file; `InputError` where its type is another than the option's."""
    if option.multiple and isinstance(value, list):
        return [_of_one(option, one, where) for one in value]
    one = _of_one(option, value, where)
    return [one] if option.multiple else one


def _of_one(option: click.Option, value: Any, where: str) -> Any:
    kind = option.type
    accepted: tuple[type, ...]
    if option.is_flag:
        accepted, expected = (bool,), "true or false"
    elif isinstance(kind, click.types.IntParamType):
        accepted, expected = (int,), "a whole number"
    elif isinstance(kind, click.types.FloatParamType):
        accepted, expected = (int, float), "a number"
    elif isinstance(kind, click.types.StringParamType | click.Path | click.Choice):
        accepted, expected = (str,), "a text"
    else:
        accepted, expected = (str, int, float), "a text or a number"
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
        expected += ", or a list of them" if option.multiple else ""
        raise InputError(f"{where}: {short(value)} is invalid, expected {expected}")
    return value


def stated_again(ctx: click.Context) -> Any:
    """Statements of a running command: what it adds to `stating_again` on its command line, environment and file now.

    Raises `InputError`.
    """
    found: list[Any] = []
    try:
        with click.Context(ctx.command, info_name=ctx.info_name) as outer:
            outer.meta[_AGAIN] = found
            with ctx.command.make_context(ctx.info_name, list(ctx.meta[_ARGUMENTS]), parent=outer) as again:
                ctx.command.invoke(again)
    except click.ClickException as error:
        raise InputError(error.format_message()) from None
    return found[0]


def stating_again(ctx: click.Context) -> list[Any] | None:
    """The list to which a command is to add what it would run; None where it is to run it."""
    found: list[Any] | None = ctx.meta.get(_AGAIN)
    return found


# ------------------------------------------------------------------------------------------------------- what is stated


def shown(ctx: click.Context) -> str:
    """The table of a command with the value and the source of each option, as TOML; secrets are masked."""
    file = configured(ctx.params.get("config"))
    rows = list(_rows(ctx, file))
    width = min(max(len(text) for text, _ in rows), 60)
    head = [f"# the configuration file: {file.where or 'none'}", f"[{ctx.command.name}]"]
    return "\n".join([*head, *(f"{text:{width}}  # {source}" for text, source in rows)])


def _rows(ctx: click.Context, file: Configuration) -> Iterator[tuple[str, str]]:
    statements: dict[str, Statement] = ctx.meta[_STATED]
    for name, option in statable(ctx.command).items():
        shared, in_file = SHARED.get(name, ""), _shared(file, name)
        if (statement := statements.get(str(option.name))) is not None:
            value, source = option.type_cast_value(ctx, statement.value), statement.source
        elif os.environ.get(shared):
            value, source = os.environ[shared], shared
            value = value if option.multiple else option.type_cast_value(ctx, value)
        elif in_file is not None:
            value, source = in_file
        else:
            value, source = option.get_default(ctx), _DEFAULT
        yield _row(name, value), source


def _shared(file: Configuration, name: str) -> Statement | None:
    """The statement of the file for all verbs."""
    key = {"group": "groups"}.get(name, name.replace("-", "_"))
    if key in file.decisions:
        return Statement(file.decisions[key], f"{file.where}: decisions.{key}")
    if key in SHARED_TEXTS and (text := getattr(file, key)) is not None:
        return Statement(text, f"{file.where}: {key}")
    if key == "follow_share" and file.out_of_scope.follow:
        return Statement(True, f"{file.where}: out_of_scope.follow")
    return None


def _row(name: str, value: Any) -> str:
    if value is None or value == () or not isinstance(value, bool | int | float | str | Path | Sequence):
        return f"# {name} is not set"
    if _SECRET.search(name):
        value = "***"
    return f"{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        return json.dumps(_CREDENTIALS.sub("***@", str(value)), ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"[{', '.join(map(_toml, value))}]"
