"""Configuration of the bridge: TOML and JSON mean the same, and an error quotes no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from arbitrank.errors import InputError
from arbitrank_mcp.configuration import ServerConfiguration, read_configuration

TOML = """
[servers.files]
command = "serve-files"
args = ["--root", "${ROOT}"]
env = { TOKEN = "${TOKEN}" }
[servers.tickets]
url = "https://tickets.example/mcp"
headers = { Authorization = "Bearer ${TOKEN}" }
[servers.old]
command = "old"
disabled = true
deadline = 300
"""
JSON = """{"mcpServers": {
  "files": {"command": "serve-files", "args": ["--root", "${ROOT}"], "env": {"TOKEN": "${TOKEN}"}, "autoApprove": []},
  "tickets": {"type": "http", "url": "https://tickets.example/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}},
  "old": {"command": "old", "disabled": true, "deadline": 300}}}"""
ENVIRONMENT = {"ROOT": "/data", "TOKEN": "s3cret"}


def written(folder: Path, text: str, name: str = "servers.json") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_toml_and_the_json_of_mcp_clients_mean_the_same(tmp_path: Path) -> None:
    found = read_configuration(written(tmp_path, TOML, "servers.toml"), ENVIRONMENT)
    assert found == read_configuration(written(tmp_path, JSON), ENVIRONMENT)
    assert found == {
        "files": ServerConfiguration(command="serve-files", args=("--root", "/data"), env={"TOKEN": "s3cret"}),
        "tickets": ServerConfiguration(url="https://tickets.example/mcp", headers={"Authorization": "Bearer s3cret"}),
    }
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither TOML"),
        ("{", "neither TOML"),
        ("[]", "1 to 1000 servers are missing"),
        ('{"mcpServers": {}}', "1 to 1000 servers are missing"),
        ('{"mcpServers": {"a": {"args": ["s3cret"]}}}', "neither command and url"),
        ('{"mcpServers": {"a": {"command": "s3cret", "url": "http://a"}}}', "both command and url"),
        ('{"mcpServers": {"a": {"url": "file:///s3cret"}}}', "expected an http"),
        ('{"mcpServers": {"a": {"command": "a", "env": {"s": 7}}}}', "Expected `str`"),
        ('{"mcpServers": {"a": {"command": "a", "env": {"s": "${NONE}"}}}}', "no such variable"),
        ('{"mcpServers": {"": {"command": "a"}}}', "length >= 1"),
        ('{"mcpServers": {".shortlist": {"command": "a"}}}', "reserved"),
        ('{"mcpServers": {"a": 7}}', "Expected `object`"),
        ('{"mcpServers": {"a": {"command": "a", "deadline": 0}}}', "Expected `float` > 0"),
        ("[" * 100_000, "neither TOML"),
    ],
    ids=lambda text: text[:40],
)
def test_an_error_says_what_is_expected_and_quotes_no_value(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=r"expected|set it") as caught:
        read_configuration(written(tmp_path, text), {})
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_missing_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_configuration(tmp_path / "none.toml")
    with pytest.raises(InputError, match="expected at most"):
        read_configuration(written(tmp_path, "#" * (1 << 20) + "#", "large.toml"))
