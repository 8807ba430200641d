"""Every option of `serve`, by command line, environment and file alike: what is stated, and what is refused."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arbitrank.cli.main import VERBS, cli
from arbitrank.cli.serve import serve
from arbitrank.cli.stated_options import SHARED, shown, statable, variable
from arbitrank.configuration import configured
from arbitrank.errors import ArbitrankError, InputError
from arbitrank.registry import ENVIRONMENTS
from arbitrank.store.signing import open_keys
from arbitrank.store.store import open_store

OPTIONS = statable(serve)
SAMPLES = {
    "--map": ["rasa=some"],
    "--forwarded-from": ["10.0.0.7", "10.0.0.8"],
    "--allow-host": ["a.example", "b.example"],
}
"""Values of options that take not every text."""

PARENT = cli.make_context("arbitrank", [], resilient_parsing=True)
"""The context of all verbs, with their settings, which commands keep from their first use on."""


@pytest.fixture
def parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., click.Context]:
    """The context of a call of `serve` with arguments, the text of arbitrank.toml, and variables."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some").write_text("")
    for name in SHARED.values():
        monkeypatch.delenv(name, raising=False)

    def parse(*arguments: str, file: str = "", **variables: str) -> click.Context:
        Path("arbitrank.toml").write_text(file)
        with monkeypatch.context() as patch:
            patch.setenv(ENVIRONMENTS, "")  # which the option sets
            for key, value in variables.items():
                patch.setenv(key, value)
            return serve.make_context("serve", list(arguments), PARENT)

    return parse


def samples(option: click.Option, *, of: int) -> list[Any]:
    """Values of an option's kind, in TOML's types: `of` them where it may be repeated, else one."""
    kind = option.type
    if option.is_flag:
        return [option.default is not True]
    if isinstance(kind, click.Choice):
        return [list(kind.choices)[-1]]
    if isinstance(kind, click.IntRange | click.FloatRange):
        step = 1 if isinstance(kind, click.IntRange) else 0.5
        return [next(value for value in (kind.min + step, kind.min + 2 * step) if value != option.default)]
    return SAMPLES.get(option.opts[0], ["some", "more and more"])[:of]


def toml(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else f"{value!r}"


def outcome(parse: Callable[..., click.Context], *arguments: str, **more: str) -> Any:
    """The parameters, or the kind of error; what a callback makes is compared by its text."""
    try:
        params = parse(*arguments, **more).params
    except (click.ClickException, ArbitrankError) as error:
        return type(error) if isinstance(error, ArbitrankError) else InputError
    return {name: repr(value) for name, value in params.items()}


def test_a_password_is_not_taken_from_the_command_line(parsed: Any) -> None:
    with pytest.raises(
        InputError,
        match=r"expected --ssl-keyfile-password-file FILE, or the variable ARBITRANK_SERVE_SSL_KEYFILE_PASSW",
    ):
        parsed("--ssl-keyfile-password", "hush")
    assert parsed(ARBITRANK_SERVE_SSL_KEYFILE_PASSWORD="hush").params["ssl_keyfile_password"] == "hush"


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "ssl-keyfile-password"])
def test_an_option_is_stated_by_command_line_environment_and_file_alike(parsed: Any, name: str) -> None:
    option = OPTIONS[name]
    values = samples(option, of=2 if option.multiple else 1)
    flag = {True: [f"--{name}"], False: option.secondary_opts}
    on_command_line = [
        part for one in values for part in (flag[one] if isinstance(one, bool) else [f"--{name}", str(one)])
    ]
    in_file = f"[{', '.join(map(toml, values))}]" if option.multiple else toml(values[0])
    in_variable = " ".join(f"'{one}'" if " " in str(one) else str(one) for one in values)
    expected = outcome(parsed, *on_command_line)
    assert expected != outcome(parsed)
    for spelling in {name, name.replace("-", "_")}:
        assert outcome(parsed, file=f"[serve]\n{spelling} = {in_file}") == expected
    assert outcome(parsed, **{variable(serve, name): in_variable}) == expected
    assert outcome(parsed, **{variable(serve, name): ""}) == outcome(parsed)  # empty states nothing


def test_the_options_are_those_of_the_help_page() -> None:
    offered = {text for option in serve.params for text in option.opts if text.startswith("--")}
    assert {f"--{name}" for name in OPTIONS} == offered - {"--config", "--show-config"}
    assert variable(serve, "limit-body") == "ARBITRANK_SERVE_LIMIT_BODY"


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(parsed: Any) -> None:
    file = "[decisions]\naccept = 0.1\n[serve]\nport = 1\naccept = 0.2"
    assert parsed(file=file).params["port"] == 1
    assert parsed(file=file, ARBITRANK_SERVE_PORT="2").params["port"] == 2
    assert parsed("--port", "3", file=file, ARBITRANK_SERVE_PORT="2").params["port"] == 3
    assert parsed(file=file).params["accept"] == 0.2
    file = '[serve]\nenvironments = "a"'
    for expected, more in (
        ("a", {}),
        ("b", {"ARBITRANK_ENVIRONMENTS": "b"}),
        ("c", {"ARBITRANK_ENVIRONMENTS": "b", "ARBITRANK_SERVE_ENVIRONMENTS": "c"}),
    ):
        assert parsed(file=file, **more).params["environments"] == Path(expected)
    file = "[serve]\naccept = 0.2"
    # None: `operator_decisions` reads that variable, as it does for every verb.
    assert parsed(file=file, ARBITRANK_ACCEPT="0.3").params["accept"] is None
    assert parsed(file=file, ARBITRANK_ACCEPT="0.3", ARBITRANK_SERVE_ACCEPT="0.4").params["accept"] == 0.4


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("limit-bodi = 1", 'arbitrank.toml: serve: key "limit-bodi": unknown, expected an option of arbitrank serve; '
         "did you mean limit-body?"),
        ("limit-body = true", "arbitrank.toml: serve.limit-body: true is invalid, expected a whole number"),
        ("limit-body = 1.5", "expected a whole number"),
        ("limit-body = 0", "arbitrank.toml: serve.limit-body: 0 is not in the range"),
        ("drain = '5'", "expected a number"),
        ("drain = nan", "arbitrank.toml: serve.drain: nan is not in the range"),
        ("open = 'yes'", "expected true or false"),
        ("host = 1", "expected a text"),
        ("isolate = [1]", "expected a text, or a list of them"),
        ("limit-body = 1\nlimit_body = 1", "stated twice"),
        ("config = 'other.toml'", "unknown"),
    ],
)  # fmt: skip
def test_a_key_or_value_of_the_file_that_is_wrong_is_refused_with_its_place(
    parsed: Any, file: str, problem: str
) -> None:
    with pytest.raises(InputError) as raised:
        parsed(file=f"[serve]\n{file}")
    assert problem in str(raised.value)


def test_a_variable_that_is_wrong_is_refused_by_its_name(parsed: Any) -> None:
    with pytest.raises(InputError, match=r"ARBITRANK_SERVE_TOKNES: unknown .* did you mean ARBITRANK_SERVE_TOKENS\?"):
        parsed(ARBITRANK_SERVE_TOKNES="tokens")
    with pytest.raises(InputError, match=r"^ARBITRANK_SERVE_PORT: 'x' is not"):
        parsed(ARBITRANK_SERVE_PORT="x")


def test_paths_may_be_separated_as_in_path(parsed: Any) -> None:
    assert parsed(ARBITRANK_SERVE_PHRASES="a.toml:b.toml 'c d.toml'").params["phrases"] == (
        Path("a.toml"), Path("b.toml"), Path("c d.toml"),
    )  # fmt: skip
    assert parsed(ARBITRANK_SERVE_ISOLATE='music "books').params["isolate"] == ("music", '"books')


def test_the_file_may_be_named_by_a_variable_of_the_verb(parsed: Any, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[serve]\nport = 7")
    assert parsed(ARBITRANK_SERVE_CONFIG="other.toml").params["port"] == 7
    assert parsed(ARBITRANK_CONFIG="other.toml").params["port"] == 7
    assert parsed("--config", "other.toml", ARBITRANK_SERVE_CONFIG="none.toml").params["port"] == 7


def test_a_broken_file_leaves_the_help_readable(parsed: Any) -> None:
    with pytest.raises(click.exceptions.Exit):
        parsed("--help", file="[serve]\nx = 1")


def test_what_is_shown_names_each_value_with_its_source_and_is_a_file_of_the_same_values(parsed: Any) -> None:
    file = """
        store = "s3://id:word@models/x"
        [decisions]
        clarify = 0.2
        [serve]
        limit-body = 99
        ssl-keyfile-password = "hush"
        isolate = ["a", "b"]
    """
    variables = {"ARBITRANK_SERVE_PORT": "81", "ARBITRANK_NONE": "0.7"}
    ctx = parsed("--workers", "3", file=file, **variables)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARBITRANK_NONE", "0.7")
        text = shown(ctx)
    rows = dict(row.split("  # ") for row in text.splitlines()[2:])
    assert {key.strip(): source for key, source in rows.items() if source != "default"} == {
        "workers = 3": "command line",
        "port = 81": "ARBITRANK_SERVE_PORT",
        "none = 0.7": "ARBITRANK_NONE",
        "clarify = 0.2": "arbitrank.toml: decisions.clarify",
        'store = "s3://***@models/x"': "arbitrank.toml: store",
        "limit-body = 99": "arbitrank.toml: serve.limit-body",
        'isolate = ["a", "b"]': "arbitrank.toml: serve.isolate",
        'ssl-keyfile-password = "***"': "arbitrank.toml: serve.ssl-keyfile-password",
    }
    assert {row.strip("# ").split(" ")[0] for row in rows} == set(OPTIONS)
    again = parsed(file=text).params
    kept = {
        name: value for name, value in ctx.params.items() if name not in ("store", "password", "ssl_keyfile_password")
    }
    kept |= {"none": 0.7, "clarify": 0.2}
    assert {name: again[name] for name in kept} == kept
    assert tomllib.loads(text)["serve"]["limit-body"] == 99


SCALARS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(), st.dates(), st.text(max_size=9), st.just({"a": 1})
)
"""Values in TOML of all types, whatever an option takes."""


@given(given=st.dictionaries(st.sampled_from(sorted(OPTIONS)), SCALARS | st.lists(SCALARS, max_size=2), max_size=2))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_file_holds_is_shown_or_refused_in_one_line(parsed: Any, given: dict[str, Any]) -> None:
    try:
        text = shown(parsed(file=tomli_w.dumps({"serve": given})))
    except InputError as error:
        assert_one_line(str(error))
        return
    found = tomllib.loads(text)["serve"]
    assert all(value in ("", []) or name in found for name, value in given.items())


def assert_one_line(text: str) -> None:
    assert text
    assert "\n" not in text


# ------------------------------------------------------------------------------------------------------------ all verbs


def test_store_and_keys_of_every_verb_may_stand_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("arbitrank.toml").write_text('store = "here"\nkeys = "trusted"')
    Path("other.toml").write_text('store = "there"')
    Path("trusted").mkdir()
    Path("trusted/a.pub").write_text("")
    environment = {"ARBITRANK_STORE": "elsewhere"}
    assert str(open_store(environment={})) == "here"
    assert str(open_store(environment=environment)) == "elsewhere"
    keys = open_keys(None, {})
    assert keys is not None
    assert keys.folder == Path("trusted")
    for name in SHARED.values():
        monkeypatch.delenv(name, raising=False)
    for verb in VERBS:  # --config goes before the file of the folder
        command = cli.get_command(PARENT, verb)
        assert command
        params = {option.name: option for option in command.params}
        if {"store", "config"} <= params.keys() and not isinstance(command, click.Group):
            ctx = click.Context(command, parent=PARENT)
            ctx.params["config"] = Path("other.toml")
            callback = params["store"].callback
            assert callback
            assert callback(ctx, params["store"], None) == "there"
    for text, problem in (
        ('stor = "here"', r'table or key "stor": unknown, .*; did you mean store\?'),
        ("store = 3", "store: 3 is invalid, expected a text"),
    ):
        Path("arbitrank.toml").write_text(text)
        with pytest.raises(InputError, match=problem):
            configured(None, {})
