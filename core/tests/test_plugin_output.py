"""What plugins print while they are imported or answer is no part of a command's output."""

from __future__ import annotations

import json
from pathlib import Path

import fakes
from distributions import FAKES, install

NOISY = """

from arbitrank.hookspecs import hookimpl

print("noise at import")


@hookimpl
def arbitrank_domains():
    return [FakeDomain("noisy", shipped=Path({folder!r}))]
"""


def test_ask_and_rank_print_answers_alone(arbitrank, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    fakes.artifact(tmp_path / "model", "noisy", does="print")
    install(site, "arbitrank-noisy", FAKES + NOISY.format(folder=str(tmp_path / "model")))
    paths = {"PYTHONPATH": str(site), "ARBITRANK_DOMAINS": "noisy"}
    asked = arbitrank("ask", "hello", "--json", **paths)
    ranked = arbitrank("rank", "-", input='{"utterance": "a"}\n{"utterance": "b"}\n', **paths)
    for done, n in ((asked, 1), (ranked, 2)):
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert [answer["domains"]["noisy"]["status"] for answer in answers] == ["answered"] * n
        assert "noise at import" in done.stderr
        assert done.stderr.count("nullnullnull") == n
