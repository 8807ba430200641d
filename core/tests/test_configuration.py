"""The operator's configuration: one file, environment and options, in one order of precedence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.configuration import (
    completed,
    configured,
    environment_scales,
    layered,
    operator_decisions,
    read_configuration,
    stated_scales,
)
from arbitrank.errors import InputError
from arbitrank.scales import FIELDS, unused


def toml(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "arbitrank.toml"
    path.write_text(text, encoding)
    return path


def every(scale: str) -> dict[str, str]:
    return dict.fromkeys(FIELDS, scale)


FULL = """
[domains.lights]
scale = "0..100"
scales = { intent_confidence = "logprob" }
[domains.shades]
scales = { domain_confidence = "cosine" }
[decisions]
fallback = "llm"
accept = 0.4
normalise = true
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_file_states_scales_and_decision_settings(tmp_path: Path, encoding: str) -> None:
    found = read_configuration(toml(tmp_path, FULL, encoding))
    assert found.scales == {
        "lights": {**every("0..100"), "intent_confidence": "logprob"},
        "shades": {"domain_confidence": "cosine"},
    }
    assert found.decisions == {"fallback": "llm", "accept": 0.4, "normalise": True}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[domain.lights]",
            'table or key "domain": unknown, expected domains, decisions, out_of_scope, serve, install, store, keys, '
            "signing_key; did you mean domains?",
        ),
        ("[domains.lights]\nscal = '0..100'", 'domains.lights: key "scal": unknown'),
        ("[domains.lights]\nscale = 5", "domains.lights.scale: 5 is invalid, expected a text"),
        ("[domains.lights]\nscale = 'prcent'", 'domains.lights: scale "prcent": unknown'),
        ("[domains.lights]\nscales = {intent = 'percent'}", 'domains.lights: scale of "intent": no such score'),
        ("[domains]\nlights = '0..100'", 'domains.lights: "0..100" is invalid, expected a table'),
        ("domains = 1", "domains: 1 is invalid, expected a table"),
        ("[decisions]\naccpt = 0.3", 'decisions: key "accpt": unknown'),
        ("[decisions]\naccept = 3", "decisions.accept: 3 is invalid, expected a number in [0, 1]"),
        ("[decisions]\naccept = nan", "decisions.accept: NaN is invalid"),
        ("[decisions]\nnormalise = 'yes'", 'decisions.normalise: "yes" is invalid, expected true or false'),
        ("[decisions]\nscales = {}", "decisions.scales: unknown, expected scales in [domains.NAME]"),
        ("x", "not TOML"),
        ("[" * 5_000, "not TOML"),
    ],
)
def test_what_the_file_must_not_hold_is_named_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    path = toml(tmp_path, text)
    with pytest.raises(InputError) as raised:
        read_configuration(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_in_another_encoding_or_without_an_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        read_configuration(toml(tmp_path, FULL, "utf-16"))
    with pytest.raises(InputError, match="expected at most 1048576"):
        read_configuration(toml(tmp_path, "#" * (1 << 20) + "\n"))
    with pytest.raises(InputError, match="cannot be read"):
        read_configuration(tmp_path)


def test_the_file_is_that_of_the_option_else_of_the_environment_else_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert configured(environment={}).scales == {}
    toml(tmp_path, "[domains.here]\nscale='percent'")
    named, of_environment = tmp_path / "named.toml", tmp_path / "environment.toml"
    named.write_text("[domains.named]\nscale='percent'")
    of_environment.write_text("[domains.environment]\nscale='percent'")
    environment = {"ARBITRANK_CONFIG": str(of_environment)}
    assert [*configured(named, environment).scales] == ["named"]
    assert [*configured(None, environment).scales] == ["environment"]
    assert [*configured(None, {}).scales] == ["here"]
    assert [*configured(None, {"ARBITRANK_CONFIG": ""}).scales] == []
    with pytest.raises(InputError, match=r"nowhere\.toml: cannot be read"):
        configured(None, {"ARBITRANK_CONFIG": "nowhere.toml"})


def test_scales_in_options_are_of_a_domain_or_of_one_field() -> None:
    texts = ["lights.intent_confidence = logprob", "lights=0..100", "shades.domain_confidence=low,medium,high"]
    assert stated_scales(texts) == {
        "lights": {**every("0..100"), "intent_confidence": "logprob"},
        "shades": {"domain_confidence": "low,medium,high"},
    }
    for text, problem in (
        ("lights", '--scale "lights": no scale, expected DOMAIN=SCALE'),
        ("=percent", "no scale"),
        ("lights=", "no scale"),
        ("lights=prcent", "did you mean percent?"),
        ("lights.intent=percent", '--scale: scale of "intent": no such score'),
    ):
        with pytest.raises(InputError) as raised:
            stated_scales([text])
        assert problem in str(raised.value)


def test_scales_in_the_environment_may_be_words() -> None:
    found = environment_scales({"ARBITRANK_SCALE": "lights=low,medium,high, shades.intent_confidence=percent,"})
    assert found == {"lights": every("low,medium,high"), "shades": {"intent_confidence": "percent"}}
    assert environment_scales({}) == environment_scales({"ARBITRANK_SCALE": " "}) == {}
    with pytest.raises(InputError, match=r"^ARBITRANK_SCALE"):
        environment_scales({"ARBITRANK_SCALE": "percent"})


LAYERS = ["option", "environment", "file", "store", "plugin"]


@pytest.mark.parametrize("first", range(len(LAYERS) + 1))
def test_the_first_layer_that_states_a_scale_has_it(first: int) -> None:
    """Option, environment, file, the store's decision settings, plugin, default."""
    stated = [{} if i < first else {"lights": {"domain_confidence": f"0..{i + 2}"}} for i in range(len(LAYERS))]
    found = layered(*stated)
    assert found == ({"lights": {"domain_confidence": f"0..{first + 2}"}} if first < len(LAYERS) else {})


def test_each_field_has_the_first_layer_that_states_it() -> None:
    option, file = {"lights": {"intent_confidence": "percent"}}, {"lights": every("0..100"), "shades": every("rank")}
    assert layered(option, file) == {
        "lights": {**every("0..100"), "intent_confidence": "percent"},
        "shades": every("rank"),
    }


SETTINGS: list[tuple[dict[str, Any], dict[str, str], str, dict[str, Any]]] = [
    ({}, {}, "", {}),
    ({}, {}, "accept = 0.4", {"accept": 0.4}),
    ({}, {"ARBITRANK_ACCEPT": "0.5"}, "accept = 0.4", {"accept": 0.5}),
    ({"accept": 0.6}, {"ARBITRANK_ACCEPT": "0.5"}, "accept = 0.4", {"accept": 0.6}),
    ({"accept": 0.0}, {}, "accept = 0.4", {"accept": 0.0}),
    ({"accept": None}, {"ARBITRANK_ACCEPT": ""}, "accept = 0.4", {"accept": 0.4}),
    ({"normalise": False}, {"ARBITRANK_NORMALISE": "true"}, "normalise = true", {"normalise": False}),
    ({}, {"ARBITRANK_NORMALISE": "true"}, "", {"normalise": True}),
    ({}, {"ARBITRANK_FALLBACK": "llm"}, "fallback = 'other'", {"fallback": "llm"}),
    ({"none": 0.9}, {}, "accept = 0.4", {"none": 0.9, "accept": 0.4}),
]


@pytest.mark.parametrize(("options", "environment", "file", "expected"), SETTINGS)
def test_a_decision_setting_is_that_of_the_first_that_states_it(
    tmp_path: Path, options: dict[str, Any], environment: dict[str, str], file: str, expected: dict[str, Any]
) -> None:
    path = toml(tmp_path, f"[decisions]\n{file}")
    stated = tuple(sorted(expected))
    assert operator_decisions(options, {}, path, environment) == DecisionSettings(**expected, stated=stated)


def test_a_wrong_setting_in_the_environment_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'accept: "much" is invalid, expected a number in \[0, 1\]'):
        operator_decisions(environment={"ARBITRANK_ACCEPT": "much"})


def test_settings_given_in_python_are_completed_by_scales_and_fallback(tmp_path: Path) -> None:
    path = toml(tmp_path, "[domains.lights]\nscale='0..100'\n[decisions]\naccept=0.9\nfallback='llm'")
    environment = {"ARBITRANK_CONFIG": str(path), "ARBITRANK_SCALE": "shades=percent"}
    assert completed(None, environment).accept == 0.9
    given = DecisionSettings(scales={"lights": {"domain_confidence": "cosine"}})
    found = completed(given, environment)
    assert (found.accept, found.fallback) == (given.accept, "llm")
    assert found.scales == {"lights": {**every("0..100"), "domain_confidence": "cosine"}, "shades": every("percent")}
    with pytest.raises(InputError, match="scales of lights"):
        completed(DecisionSettings(scales={"lights": {"domain_confidence": "bogus"}}), {})


def test_a_scale_of_no_domain_is_remarked_on() -> None:
    assert [*unused({"lights": every("percent"), "ligths": every("percent")}, ["lights"])] == [
        "a scale is stated for ligths, which is no domain here (there are: lights); did you mean lights?"
    ]


def test_groups_are_stated_in_the_file_in_the_environment_or_by_options(tmp_path: Path) -> None:
    path = tmp_path / "arbitrank.toml"
    path.write_text('[decisions]\ngroups = [["bert", "luis"]]\n')
    assert operator_decisions(path=path, environment={}).groups == (("bert", "luis"),)
    stated = operator_decisions(path=path, environment={"ARBITRANK_GROUPS": "a, b;c,d"})
    assert (stated.groups, stated.stated) == ((("a", "b"), ("c", "d")), ("groups",))
    for text in ('groups = [["bert"]]', 'groups = "bert,luis"', 'groups = [["a", "b"], ["b", "c"]]'):
        path.write_text(f"[decisions]\n{text}\n")
        with pytest.raises(InputError, match=r"toml: decisions.groups.*expected"):
            read_configuration(path)
    with pytest.raises(InputError, match=r"ARBITRANK_GROUPS\[0\]: 'a' alone"):
        operator_decisions(path=None, environment={"ARBITRANK_CONFIG": "", "ARBITRANK_GROUPS": "a"})
