"""Training refuses what a domain breaks, before anything is published, as `promote` does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from distributions import install

CARELESS = Path(__file__).with_name("careless.py").read_text(encoding="utf-8")
HOOK = """

from itertools import count

from arbitrank.hookspecs import hookimpl

calls = count()


def rerank(self, request):
    rate = 0.9 - 1e-5 * next(calls)
    return Scores(rate, np.full(len(request.hypotheses), rate / len(request.hypotheses)))


@hookimpl
def arbitrank_domains():
    return [answering(rerank=rerank)]
"""


@pytest.mark.parametrize("options", [("--promote",), ()])
def test_weights_that_fail_the_self_test_are_not_published(arbitrank, tmp_path: Path, options: tuple[str, ...]) -> None:
    site, store = tmp_path / "site", tmp_path / "store"
    site.mkdir()
    install(site, "arbitrank-zoo", CARELESS + HOOK)
    paths = {"PYTHONPATH": str(site), "ARBITRANK_STORE": str(store), "ARBITRANK_DOMAINS": "zoo"}
    done = arbitrank("train", "zoo", *options, **paths)
    assert done.returncode == 1
    assert "domain zoo: its self-test refuses the weights: " in done.stderr
    assert re.search(
        r"the utterance '.*: answered mine 0\.\d+, right \[.*\], then mine 0\.\d+, right \[.*\], "
        "expected the same answer in any order; run: arbitrank check zoo",
        done.stderr,
    )
    assert not list(store.rglob("manifest.json"))
