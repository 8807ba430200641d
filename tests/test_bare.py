"""Without any extra, arbitrank answers; a command that needs an extra names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import arbitrank as ar
from arbitrank.domain import Settings
from arbitrank.extras import EXTRAS

BROUGHT = {
    "id": "brought",
    "hypotheses": [{"domain": "music", "intent": "PlayMusic", "domain_confidence": 0.8, "intent_confidence": 0.9}],
}


@pytest.fixture(scope="module", params=["loglinear", "corrected"])
def trained(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A store whose stable music weights are log-linear, or trees on top of factored ones."""
    folder = tmp_path_factory.mktemp(request.param)
    (hypothesis,) = BROUGHT["hypotheses"]
    lines = [
        {
            "utterance": f"request {i}",
            "hypotheses": [{**hypothesis, "domain_confidence": (i % 10) / 10}],
            "truth": {"domain": "music", "intent": "PlayMusic"} if i % 10 in (2, 3, 7, 8) else {"domain": None},
        }
        for i in range(300)
    ]
    (folder / "examples.jsonl").write_text("\n".join(map(json.dumps, lines)))
    settings = Settings(model=request.param)
    outcome = ar.train("music", data=folder / "examples.jsonl", store=folder / "store", settings=settings, promote=True)
    assert outcome.version
    return folder / "store"


def test_no_package_of_an_extra_is_there(bare: Any) -> None:
    packages = sorted({package for packages in EXTRAS.values() for package in packages})
    code = f"from importlib.util import find_spec; print([name for name in {packages!r} if find_spec(name)])"
    assert bare.run(code).strip() == "[]"


def test_it_ranks_with_a_plugins_trained_weights(bare: Any, checkout: Any, trained: Path) -> None:
    given = [BROUGHT], "--explain", "--store", str(trained)
    (answer,), (expected,) = (home.answers(*given) for home in (bare, checkout))
    assert answer["ranked"][0].pop("why") == pytest.approx(expected["ranked"][0].pop("why"), abs=1e-9)
    assert answer["ranked"] == expected["ranked"]
    assert answer["decision"] == expected["decision"]
    assert answer["domains"]["music"]["status"] == "answered"


def test_it_answers_from_text_with_the_weights_in_the_package(bare: Any) -> None:
    (answer,) = bare.answers([{"id": "1", "utterance": "play thriller"}])
    assert answer["ranked"][0]["domain"] == "music"
    code = "import arbitrank as ar; print(ar.Arbitrator.from_installed().answer('play thriller').decision.action)"
    assert bare.run(code).strip() == answer["decision"]["action"]


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("serve",), "serve"),
        (("train", "music"), "train"),
        (("new", "games"), "train"),
        (("evaluate", "."), "train"),
        (("promote", "music"), "train"),
        (("rank", "--keys", "keys"), "serve"),
        (("domains", "--store", "s3://bucket/store"), "s3"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_command_that_needs_an_extra_names_it(bare: Any, arguments: tuple[str, ...], extra: str) -> None:
    status, error = bare.fails(*arguments)
    assert status == 2, error
    assert f"arbitrank[{extra}]" in error
    assert error.count("\n") == 1
