"""Re-rankers as files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from arbitrank.errors import ArtifactError
from arbitrank.learn.calibration import Affine, Calibrated
from arbitrank.learn.feature_spec import Confidences, FeatureSpec, Situation
from arbitrank.learn.files import WEIGHTS, feature_names, load, save, spec_of
from arbitrank.learn.rerankers import R0, Factored, LogLinear, Weights
from arbitrank.values import Hypothesis, Request

SPEC = FeatureSpec(
    "lights", (Situation("device", "tv"),), preferences=True, extras=("known",), fill=Confidences(0.4, 0.6, 0.8)
)


def weights(names: tuple[str, ...], seed: int) -> Weights:
    values, means = np.random.default_rng(seed).standard_normal((2, len(names))).tolist()
    return Weights(names, tuple(values), tuple(means))


FORMS = [LogLinear(SPEC, form, weights(SPEC.plain_names, 0)) for form in ("sigmoid", "softmax", "null")]
FACTORED = Factored(SPEC, weights(SPEC.request_names, 1), weights(SPEC.reading_names, 2))


@pytest.mark.parametrize("reranker", [R0(SPEC), *FORMS, FACTORED], ids=["R0", "sigmoid", "softmax", "null", "factored"])
def test_what_is_saved_is_loaded_again_to_the_bit(reranker: Any, tmp_path: Path) -> None:
    save(reranker, tmp_path / "reranker")
    assert load(tmp_path / "reranker") == reranker
    assert spec_of(reranker) == SPEC
    first = (tmp_path / "reranker" / WEIGHTS).read_bytes()
    save(load(tmp_path / "reranker"), tmp_path / "reranker")
    assert (tmp_path / "reranker" / WEIGHTS).read_bytes() == first
    assert [path.name for path in (tmp_path / "reranker").iterdir()] == [WEIGHTS]


def test_the_names_of_the_features_are_those_of_the_weights_in_order() -> None:
    assert feature_names(FORMS[0]) == list(SPEC.plain_names)
    assert feature_names(FACTORED) == [*SPEC.request_names, *SPEC.reading_names]
    assert feature_names(R0(SPEC)) == []


def without_a_weight(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "mine": {key: value[:-1] for key, value in content["mine"].items()}}


def in_another_order(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "right": {**content["right"], "names": content["right"]["names"][::-1]}}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_a_weight, "its features are not those of this arbitrank .* train again"),
        (in_another_order, "they differ in order"),
        (lambda content: {**content, "kind": "other"}, "not a re-ranker that can be read"),
        (
            lambda content: {key: value for key, value in content.items() if key != "mine"},
            "not a re-ranker that can be read",
        ),
        (lambda content: {**content, "spec": {}}, "not a re-ranker that can be read"),
        (lambda content: {**content, "mine": {**content["mine"], "values": ["x"]}}, "not a re-ranker that can be read"),
        (lambda content: [content], "not a re-ranker that can be read"),
        (
            lambda content: {**content, "spec": {**content["spec"], "extras": []}},
            r"they differ in \['features.known'\]",
        ),
    ],
)
def test_weights_that_are_not_for_this_toolkit_are_refused(damage: Any, message: str, tmp_path: Path) -> None:
    save(FACTORED, tmp_path)
    content = msgspec.json.decode((tmp_path / WEIGHTS).read_bytes())
    (tmp_path / WEIGHTS).write_bytes(msgspec.json.encode(damage(content)))
    with pytest.raises(ArtifactError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b'{"kind": "r0"}',
        b'{"kind": "r0", "spec": {"domain": "x", "fill": [NaN, 0, 0]}}',
        b"[" * 99_999,
    ],
)
def test_weights_that_cannot_be_read_are_refused(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="not a re-ranker that can be read"):
        load(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(raw)
    with pytest.raises(ArtifactError, match="not a re-ranker that can be read"):
        load(tmp_path)


_SERVE = """
import sys
for name in ("scipy", "sklearn", "lightgbm", "pycrfsuite", "joblib", "cryptography"):
    sys.modules[name] = None  # its import raises ImportError, as where it is not installed
from pathlib import Path
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.values import Hypothesis, Request
model = ReferenceDomain("lights").load(Path(sys.argv[1]))
request = Request(context={"device": "tv"}, hypotheses=(Hypothesis("lights", "On", 0.8, 0.7),))
print(model.rerank(request).mine, len(model.explain(request)))
"""


@pytest.mark.parametrize("reranker", [R0(SPEC), *FORMS, FACTORED], ids=["R0", "sigmoid", "softmax", "null", "factored"])
def test_linear_models_serve_without_what_training_needs(reranker: Any, tmp_path: Path) -> None:
    save(Calibrated(reranker, Affine(1.2, 0.1)), tmp_path / "reranker")
    run = subprocess.run([sys.executable, "-c", _SERVE, tmp_path], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    mine, explained = run.stdout.split()
    request = Request(context={"device": "tv"}, hypotheses=(Hypothesis("lights", "On", 0.8, 0.7),))
    assert float(mine) == load(tmp_path / "reranker").rerank(request).mine
    assert explained == "1"
