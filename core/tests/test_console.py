"""The console without a browser: its files, their headers, who is admitted, and the calls that it is made for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from services import Service

from arbitrank.serve.console_files import POLICY, console_files

FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|localStorage|sessionStorage"
    r"|document\.cookie|https?://(?!www\.w3\.org/2000/svg\")|setAttribute\(\"style\""
)
OWN = sorted(name for name in console_files() if name.endswith(".js"))


def test_the_files_are_smaller_than_400_kilobytes() -> None:
    assert sum(len(one.content) for one in console_files().values()) < 400_000


@pytest.mark.parametrize("name", OWN)
def test_a_script_makes_no_html_of_texts_keeps_nothing_and_calls_nobody_else(name: str) -> None:
    assert FORBIDDEN.findall(console_files()[name].content.decode()) == []


def test_the_page_has_nothing_inline_and_names_files_that_there_are() -> None:
    page = console_files()["index.html"].content.decode()
    assert not re.search(r"<style|style=|<script(?![^>]*src=)|\son\w+=|javascript:", page)
    named = set(re.findall(r"(?:src|href)=\"/console/([^\"]+)\"", page))
    assert named <= console_files().keys()
    imported = {
        found
        for name in OWN
        for found in re.findall(r"(?:from|import\()\s*\"\./([^\"]+)\"", console_files()[name].content.decode())
    }
    assert imported <= console_files().keys()


@pytest.fixture(scope="module")
def service(lights_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    folder = tmp_path_factory.mktemp("console")
    with Service(lights_site, folder / "store", "--log", str(folder / "log")) as service:
        yield service


def test_every_file_has_the_policy_and_is_asked_for_again_by_its_tag(service: Service) -> None:
    status, page, headers = service.call("GET", "/")
    assert status == 200
    assert "<title>arbitrank</title>" in page
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    status, body, again = service.call("GET", "/", **{"if_none_match": headers["etag"]})
    assert (status, body, again["etag"]) == (304, "", headers["etag"])
    kinds = {
        "main.js": "text/javascript",
        "style.css": "text/css",
        "icon.svg": "image/svg+xml",
        "plots.css": "text/css",
    }
    for name, kind in kinds.items():
        status, _, headers = service.call("GET", f"/console/{name}")
        assert (status, headers.get_content_type(), headers["content-security-policy"]) == (200, kind, POLICY)
    assert service.call("HEAD", "/")[0] == 200


@pytest.mark.parametrize("name", ["nothing.js", "..%2f..%2fapp.py", "%2e%2e", "index.html%00", "__init__.py"])
def test_no_other_file_is_reached(service: Service, name: str) -> None:
    assert service.call("GET", f"/console/{name}")[0] == 404


@pytest.mark.parametrize("path", ["/", "/console/main.js", "/v1/log", "/v1/service"])
def test_a_name_that_another_had_point_here_is_refused(service: Service, path: str) -> None:
    for host in ("attacker.example", f"attacker.example:{service.port}", "127.0.0.1.attacker.example"):
        status, body, _ = service.call("GET", path, host=host)
        assert status == 403
        assert "Host" in body["error"]
    assert service.call("GET", path, host=f"localhost:{service.port}")[0] == 200
    status, _, _ = service.call("GET", path, origin="http://attacker.example")
    assert status == 403
