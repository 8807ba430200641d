"""Entries of remote domains in the operator's file: their errors, and what discovery makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import made

from arbitrank.configuration import read_configuration
from arbitrank.errors import InputError
from arbitrank.registry import Disabled, Loaded, Refused, discover, survey
from arbitrank.remote_entry import checked_entry
from arbitrank.scaffold.names import names_of

URL = "https://weather.example/arbitrank"
WHERE = "domains.weather"


def written(folder: Path, text: str) -> dict[str, str]:
    """The environment of a configuration file with this text."""
    (folder / "arbitrank.toml").write_text(text)
    return {"ARBITRANK_CONFIG": str(folder / "arbitrank.toml"), "ARBITRANK_DOMAINS": "weather,pods,Weather,shortlist"}


def test_an_entry_is_read_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text(
        f'[domains.weather]\nurl = "{URL}"\nscale = "0..100"\ndeadline_ms = 800\nsend = ["context.device"]\n'
    )
    found = read_configuration(path).domains["weather"]
    assert found.remote is not None
    assert (found.remote.address, found.remote.deadline_ms, found.scale) == (URL, 800.0, "0..100")
    assert (found.remote.context_keys, found.remote.allows("utterance")) == (frozenset({"device"}), False)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"deadline_ms": 5}, "domains.weather.deadline_ms: without url, expected the URL of a remote domain beside it"),
        ({"url": "weather.example"}, '.url: "weather.example" is no URL of HTTP'),
        ({"url": "ftp://weather.example"}, "is no URL of HTTP"),
        ({"url": "https://wetter.exämple"}, "is no URL of HTTP"),
        ({"url": "https://weather.example/a b"}, "is no URL of HTTP"),
        ({"url": "https://weather.example/\r\nhost: x"}, "is no URL of HTTP"),
        ({"url": "https://weather.example:0"}, "is no URL of HTTP"),
        ({"url": "https://weather.example:99999"}, "is no URL: Port out of range"),
        ({"url": "https://[::1"}, "is no URL: Invalid IPv6 URL"),
        ({"url": "https://ann:pw@weather.example"}, "has a user or a password, expected token_env or token_file"),
        ({"url": f"{URL}#top"}, "has a fragment, expected none"),
        ({"url": f"{URL}?key=k"}, "has a query, expected none"),
        ({"url": "http://weather.example"}, "what is sent by http:// can be read on the way, expected https://"),
        ({"url": "http://10.0.0.7"}, "or state allow_http = true beside it"),
        ({"url": "https://{utterance}.example", "format": "wit"}, "may stand in the query alone"),
        ({"url": URL, "deadline_ms": 0}, ".deadline_ms: 0 is invalid, expected a number in [1, 60000]"),
        ({"url": URL, "deadline_ms": True}, ".deadline_ms: true is invalid"),
        ({"url": URL, "connections": 2.5}, ".connections: 2.5 is invalid, expected a number in [1, 1000]"),
        ({"url": URL, "send": ["everything"]}, '.send: "everything": unknown, expected some of utterance, hypotheses'),
        ({"url": URL, "send": ["context."]}, '.send: "context.": unknown'),
        ({"url": URL, "send": "utterance"}, ".send: "),
        ({"url": URL, "token_env": "A", "token_file": "b"}, ".token_file: beside token_env, expected one of the two"),
        ({"url": URL, "token_header": "X-Key"}, ".token_header: without a token"),
        ({"url": URL, "token_env": "A", "token_header": "Host"}, '.token_header: "Host" is no header for a token'),
        ({"url": URL, "token_env": "A", "token_header": "a: b"}, "is no header for a token"),
        ({"url": URL, "map": "names.toml"}, ".map: without format"),
        ({"url": URL, "body": {}}, ".body: without format"),
        ({"url": "http://localhost:1", "ca_file": "x"}, ".ca_file: with http://"),
        (
            {"url": URL, "format": "llm", "body": {"messages": [{"content": "{session}: {utterance}"}]}},
            '.body: names {session}, which is not sent; add "session" to send',
        ),
        ({"url": f"{URL}?q={{context.device}}", "format": "wit"}, ".url: names {context.device}, which is not sent"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_key(table: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        checked_entry(table, WHERE)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(WHERE)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "127.9.9.9", "[::1]:80"])
def test_http_is_allowed_to_this_machine(host: str) -> None:
    assert checked_entry({"url": f"http://{host}/x"}, WHERE).parts.scheme == "http"


def test_http_to_another_machine_is_stated() -> None:
    assert checked_entry({"url": "http://weather.example", "allow_http": True}, WHERE).allow_http


def test_a_key_in_a_query_is_not_shown() -> None:
    entry = checked_entry({"url": f"{URL}?key=s3cret", "format": "wit"}, WHERE)
    assert entry.address == URL


@pytest.mark.parametrize("text", ["", "two\nlines", "gr\xfcn"])
def test_a_token_that_is_none_is_refused_and_not_shown(text: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(text, encoding="latin-1")
    entry = checked_entry({"url": URL, "token_file": str(tmp_path / "token")}, WHERE)
    with pytest.raises(InputError, match="expected a token") as caught:
        entry.token()
    assert not text or text not in str(caught.value)


def test_discovery_finds_them_and_connects_to_nothing(tmp_path: Path) -> None:
    environment = written(
        tmp_path,
        f'[domains.weather]\nurl = "{URL}"\n[domains.pods]\nurl = "{URL}"\nformat = "rasa"\n'
        f'[domains.Weather]\nurl = "{URL}"\n[domains.shortlist]\nurl = "{URL}"\n[domains.other]\nurl = "{URL}"\n'
        '[domains.local]\nscale = "0..100"\n',
    )
    found = {one.name: one for one in discover(environment) if one.source.distribution == "remote"}
    assert {name: type(one) for name, one in found.items()} == {
        "weather": Loaded, "pods": Loaded, "Weather": Refused, "shortlist": Refused, "other": Disabled
    }  # fmt: skip
    again = {one.name: one for one in discover(environment)}
    assert isinstance(again["weather"], Loaded)
    assert isinstance(found["weather"], Loaded)
    assert again["weather"].domain is found["weather"].domain  # with its connections, and what it stated


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ('format = "rosa"', "unknown, expected one of rasa"),
        ('format = "map"\nmap = "gone.toml"', "gone.toml: cannot be read"),
        ('token_env = "ARBITRANK_NO_SUCH"', "token_env: ARBITRANK_NO_SUCH: empty, expected a token"),
        ('ca_file = "gone.pem"', "ca_file: gone.pem: cannot be read as certificates in PEM"),
    ],
)
def test_a_domain_whose_entry_cannot_be_used_is_refused(more: str, expected: str, tmp_path: Path) -> None:
    (one,) = [
        one
        for one in discover(written(tmp_path, f'[domains.weather]\nurl = "{URL}"\n{more}\n'))
        if one.source.distribution == "remote"
    ]
    assert isinstance(one, Refused)
    assert expected in one.reason
    assert "domains.weather: " in one.reason


def test_an_entry_of_a_name_that_an_installed_package_has_is_refused(tmp_path: Path) -> None:
    environment = {**written(tmp_path, f'[domains.music]\nurl = "{URL}"\n'), "ARBITRANK_DOMAINS": "music"}
    (one,) = [one for one in discover(environment) if one.source.distribution == "remote"]
    assert isinstance(one, Refused)
    assert one.reason.startswith("claims 'music', which music (arbitrank-music ")
    assert one.reason.endswith("; uninstall it, or take the entry out of arbitrank.toml")


def test_a_package_can_be_made_of_a_domain_that_has_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITRANK_CONFIG", written(tmp_path, f'[domains.pods]\nurl = "{URL}"\n')["ARBITRANK_CONFIG"])
    assert names_of("pods").package == "arbitrank_pods"


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    tls, _ = made(tmp_path, "one")
    text = f'[domains.weather]\nurl = "{URL}"\nca_file = "{tls.key}"\n'
    (one,) = [one for one in discover(written(tmp_path, text)) if one.source.distribution == "remote"]
    assert isinstance(one, Refused)
    assert "cannot be read as certificates in PEM" in one.reason


def test_a_file_that_cannot_be_read_is_reported_beside_the_domains(tmp_path: Path) -> None:
    (beside,) = [one for one in survey(written(tmp_path, "[domains")).unreadable if one.name == "arbitrank.toml"]
    assert "not TOML" in beside.reason


def test_no_file_is_read_where_the_variable_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, f'[domains.weather]\nurl = "{URL}"\n')
    assert "weather" in {one.name for one in discover({"ARBITRANK_DOMAINS": "weather"})}
    assert "weather" not in {one.name for one in discover({"ARBITRANK_DOMAINS": "weather", "ARBITRANK_CONFIG": ""})}
