"""No package keeps another from loading: each case is a real distribution beside the three reference domains."""

from __future__ import annotations

import json
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from types import ModuleType
from typing import Never

import pytest
from distributions import FAKES, install, serving
from fakes import FakeDomain

from arbitrank.plugin_hooks import exposed
from arbitrank.registry import Disabled, Found, Loaded, Refused, discover, loaded

REFERENCE = {"books", "music", "video"}


def beside_reference(found: list[Found]) -> list[Found]:
    """What was found beside the reference domains, which all are loaded from their own packages."""
    ours = [one for one in found if one.source.distribution in {f"arbitrank-{name}" for name in REFERENCE}]
    assert {one.name for one in ours if isinstance(one, Loaded)} == REFERENCE
    return [one for one in found if one not in ours]


def test_a_valid_plugin_is_loaded(site: Path) -> None:
    install(site, "arbitrank-weather", serving("weather"))
    (weather,) = beside_reference(discover({}))
    assert isinstance(weather, Loaded)
    assert (weather.name, str(weather.source)) == ("weather", "weather (arbitrank-weather 1.2.3)")
    assert loaded(discover({})).keys() == REFERENCE | {"weather"}


def test_a_package_may_serve_several_domains(site: Path) -> None:
    install(site, "acme-home", serving("lights", "timers"), entry="home")
    lights, timers = beside_reference(discover({}))
    assert (lights.name, timers.name) == ("lights", "timers")
    assert isinstance(lights, Loaded)
    assert isinstance(timers, Loaded)


# What a plugin does wrong, as its code, and what its refusal says of it.
WRONGS = {
    "fails to import": (
        "import nothing_of_that_name\n",
        "ModuleNotFoundError: No module named 'nothing_of_that_name'",
    ),
    "needs what is not installed": (
        "import nothing_of_that_name\n",
        "expected it with the plugin; add it to its dependencies, and install it; to see where, run: python -c",
    ),
    "reads a file that is not there": (
        "open('no/works.tsv')\n",
        "expected a file that the package ships, named from Path(__file__).parent; to see where",
    ),
    "misspells a method": (
        "from arbitrank.domain import Domain\nfrom arbitrank.hookspecs import hookimpl\n\n\nclass Zoo(Domain):\n"
        "    name = 'zoo'\n    def train(self, examples, out, settings): ...\n    def loads(self, folder): ...\n\n\n"
        "@hookimpl\ndef arbitrank_domains():\n    return [Zoo()]\n",
        "Zoo lacks load(), expected it; write it, or rename loads, which it has",
    ),
    "has a syntax error": ("def arbitrank_domains(:\n", "SyntaxError: "),
    "raises SystemExit on import": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "raises what is no Exception on import": (
        "class Panic(BaseException): pass\nraise Panic('native code gave up')\n",
        "Panic: native code gave up",
    ),
    "raises an error without a text of its own": (
        "class Mute(Exception):\n    def __str__(self):\n        raise ValueError\nraise Mute\n",
        "Mute: its text raises ValueError",
    ),
    "misspells the hook": (
        "from arbitrank.hookspecs import hookimpl\n\n@hookimpl\ndef arbitrank_domain():\n    return []\n",
        "implements no hook arbitrank_domains; it has 'arbitrank_domain', did you mean that?",
    ),
    "misspells the hook and leaves out its mark": (
        "def arbitrank_domians():\n    return []\n",
        "implements no hook arbitrank_domains; it has 'arbitrank_domians', did you mean that?",
    ),
    "leaves out the hook's mark": (
        "def arbitrank_domains():\n    return []\n",
        "it has 'arbitrank_domains', which is not marked with @hookimpl",
    ),
    "implements no hook at all": ("x = 1\n", "implements no hook arbitrank_domains"),
    "has a hook beside it that the core does not know": (
        "from arbitrank.hookspecs import hookimpl\n\n@hookimpl\ndef arbitrank_domains():\n    return []\n\n"
        "@hookimpl\ndef arbitrank_skills():\n    return []\n",
        "unknown hook 'arbitrank_skills'",
    ),
    "gives the hook a parameter": (
        "from arbitrank.hookspecs import hookimpl\n\n@hookimpl\ndef arbitrank_domains(core):\n    return []\n",
        "{'core'} are declared in the hookimpl but can not be found in the hookspec",
    ),
}

# What a hook returns wrongly, as the code of its body, and what the refusal says of it.
RETURNS = {
    "nothing": ("pass", "arbitrank_domains() returned NoneType, expected a list of Domains"),
    "a text": ("return 'weather'", "arbitrank_domains() returned str, expected a list of Domains"),
    "a domain outside a list": (
        "return FakeDomain('weather')",
        "arbitrank_domains() returned a FakeDomain, expected a list of Domains; write it in brackets",
    ),
    "what is no domain": ("return [object()]", "arbitrank_domains() returned object without a name, expected a Domain"),
    "a class, not its object": (
        "return [FakeDomain]",
        "arbitrank_domains() returned the class FakeDomain, expected a Domain",
    ),
    "a domain whose name raises": ("return [Raising('weather')]", "RuntimeError: no name today"),
    "a domain whose name is a number": (
        "return [FakeDomain(7)]",
        "returned FakeDomain without a name, expected a Domain",
    ),
    "a domain whose name is empty": (
        "return [FakeDomain('')]",
        "returned FakeDomain named '', expected a Domain named in a-z, 0-9",
    ),
    "a domain with a name nobody could type": (
        "return [FakeDomain('Wétter')]",
        "returned FakeDomain named 'Wétter', expected",
    ),
    "the Shortlister's own": (
        "return [FakeDomain('shortlist')]",
        "is named 'shortlist', which is the Shortlister's name",
    ),
    "an error": ("raise LookupError('no licence')", "LookupError: no licence"),
}

HOOK = """
from arbitrank.hookspecs import hookimpl


class Raising(FakeDomain):
    @property
    def name(self):
        raise RuntimeError("no name today")

    @name.setter
    def name(self, value):
        pass

    def __repr__(self):
        raise RuntimeError("no text either")


@hookimpl
def arbitrank_domains():
"""


def assert_refused(found: list[Found], reason: str) -> None:
    (refused,) = beside_reference(found)
    assert isinstance(refused, Refused)
    assert str(refused.source) == "wrong (arbitrank-wrong 1.2.3)"
    assert reason in refused.reason
    assert "\n" not in refused.reason


def test_the_print_of_an_import_is_a_remark(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "arbitrank-weather", serving("weather") + "\nprint('Weather starting')\n")
    (found,) = beside_reference(discover({}))
    assert isinstance(found, Loaded)
    assert found.notes[-1].startswith("its import printed 'Weather starting', expected nothing on standard output; use")
    assert capsys.readouterr() == ("", "Weather starting\n")


@pytest.mark.parametrize(("code", "reason"), WRONGS.values(), ids=WRONGS)
def test_a_plugin_is_refused_that(site: Path, code: str, reason: str) -> None:
    install(site, "arbitrank-wrong", code)
    assert_refused(discover({}), reason)


@pytest.mark.parametrize(("body", "reason"), RETURNS.values(), ids=RETURNS)
def test_a_plugin_is_refused_whose_hook_returns(site: Path, body: str, reason: str) -> None:
    install(site, "arbitrank-wrong", f"{FAKES}\n{HOOK}    {body}\n")
    assert_refused(discover({}), reason)


def test_one_wrong_domain_of_a_package_leaves_its_other_loaded(site: Path) -> None:
    install(site, "acme-home", serving("lights", "Timers!"), entry="home")
    refused, lights = beside_reference(discover({}))
    assert isinstance(lights, Loaded)
    assert isinstance(refused, Refused)
    assert "'Timers!'" in refused.reason


@pytest.mark.parametrize(
    ("requires", "seen"),
    [("arbitrank>=99", "needs arbitrank>=99"), ("Arbitrank<0.1", "needs arbitrank<0.1"), ("arbitrank===x", "===x")],
)
def test_a_plugin_for_another_core_is_refused_before_it_is_imported(site: Path, requires: str, seen: str) -> None:
    imported = site.parent / "imported"
    code = f"open({str(imported)!r}, 'w').close()\n{serving('wrong')}"
    install(site, "arbitrank-wrong", code, requires=[requires])
    assert_refused(discover({}), seen)
    assert not imported.exists()


def test_a_range_of_core_that_does_not_apply_here_refuses_nothing(site: Path) -> None:
    requires = ["arbitrank>=0.1", "arbitrank>=99; python_version < '3'", "arbitrank<0; sys_platform == 'amiga'"]
    install(site, "arbitrank-weather", serving("weather"), requires=requires)
    (weather,) = beside_reference(discover({}))
    assert isinstance(weather, Loaded)


@pytest.mark.parametrize("distribution", ["aaa-music", "zzz-music"])
@pytest.mark.parametrize("entry", ["music", "tunes"])
def test_a_taken_name_is_refused_naming_both_who_claim_it(site: Path, distribution: str, entry: str) -> None:
    install(site, distribution, serving("music"), entry=entry)
    (refused,) = beside_reference(discover({}))
    assert isinstance(refused, Refused)
    assert (refused.name, refused.source.distribution) == ("music", distribution)
    assert "claims 'music', which music (arbitrank-music 0.1.0) has" in refused.reason


def test_of_two_that_claim_a_name_one_is_loaded_whatever_the_order_of_the_path(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = site.parent / "second"
    second.mkdir()
    install(site, "bbb-weather", serving("weather"))
    install(second, "aaa-weather", serving("weather"))
    monkeypatch.syspath_prepend(str(second))
    one_way = [(type(one), one.source) for one in beside_reference(discover({}))]
    monkeypatch.syspath_prepend(str(site))
    assert [(type(one), one.source) for one in beside_reference(discover({}))] == one_way
    assert [(kind, source.distribution) for kind, source in one_way] == [
        (Loaded, "aaa-weather"),
        (Refused, "bbb-weather"),
    ]


def test_a_distribution_whose_metadata_is_gone_is_no_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    class Left(Distribution):
        def read_text(self, filename: str) -> None:
            return None

        def locate_file(self, path: object) -> Path:
            return Path("nowhere")

        @property
        def metadata(self) -> Never:
            raise FileNotFoundError("no package metadata was found")

    monkeypatch.setattr("arbitrank.registry.distributions", lambda: [Left(), *distributions()])
    assert {one.name for one in discover({})} >= {"books", "music", "video"}


def test_a_folder_that_an_uninstall_left_behind_is_no_plugin(site: Path) -> None:
    (site / "arbitrank_left-1.0.dist-info").mkdir()
    assert beside_reference(discover({})) == []


def states(found: list[Found]) -> dict[str, type[Found]]:
    return {one.name: type(one) for one in found}


@pytest.mark.parametrize(
    ("named", "names"),
    [
        ("music,video", {"music", "video"}),
        (" music , video ,", {"music", "video"}),
        ("books", {"books"}),
        ("", set()),
        (" , ", set()),
        ("nobody", set()),
    ],
)
def test_the_environment_names_the_domains_to_load(named: str, names: set[str]) -> None:
    found = discover({"ARBITRANK_DOMAINS": named})
    assert states(found) == {name: Loaded if name in names else Disabled for name in REFERENCE}
    assert all(one.reason == "ARBITRANK_DOMAINS does not name it" for one in found if isinstance(one, Disabled))


def test_unset_the_environment_loads_all() -> None:
    assert states(discover({})) == dict.fromkeys(REFERENCE, Loaded)


def test_a_disabled_plugin_is_not_imported(site: Path) -> None:
    imported = site.parent / "imported"
    install(site, "arbitrank-weather", f"open({str(imported)!r}, 'w').close()\n")
    assert states(discover({"ARBITRANK_DOMAINS": "music"}))["weather"] is Disabled
    assert not imported.exists()


def test_what_was_refused_costs_the_answer_nothing_and_is_listed(site: Path, arbitrank) -> None:
    """With a package of each kind beside them the three answer as before; `domains` says who was refused, and why."""
    before = arbitrank("ask", "play mary poppins", "--device", "tv", "--json")
    for i, (code, _) in enumerate(WRONGS.values()):
        install(site, f"arbitrank-wrong-{i}", code)
    install(site, "aaa-music", serving("music"))
    install(site, "arbitrank-future", serving("future"), requires=["arbitrank>=99"])

    after = arbitrank("ask", "play mary poppins", "--device", "tv", "--json", PYTHONPATH=str(site))
    assert after.returncode == 0
    assert json.loads(after.stdout)["ranked"] == json.loads(before.stdout)["ranked"]
    reports = json.loads(after.stdout)["domains"]
    assert {name for name, report in reports.items() if report["status"] == "answered"} == REFERENCE
    others = [report for name, report in reports.items() if name not in REFERENCE]
    assert len(others) == len(WRONGS) + 2
    assert all(report["status"] == "failed" and report["reason"] for report in others)

    listed = arbitrank("domains", "--json", PYTHONPATH=str(site))
    assert listed.returncode == 0
    rows = {row["package"]: row for row in json.loads(listed.stdout)}
    assert {row["name"] for row in rows.values() if row["status"] == "loaded"} == REFERENCE
    refused = [row for row in rows.values() if row["status"] == "refused"]
    assert len(refused) == len(WRONGS) + 2
    assert all(row["reason"] and row["package_version"] == "1.2.3" for row in refused)
    assert "arbitrank-music 0.1.0" in rows["aaa-music"]["reason"]

    table = arbitrank("domains", PYTHONPATH=str(site)).stdout
    assert "aaa-music 1.2.3" in table
    assert "refused" in table


def test_code_that_every_user_may_change_is_remarked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("arbitrank_exposed")
    module.__file__ = str(tmp_path / "domain.py")
    (tmp_path / "domain.py").write_text("")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kind = type("Exposed", (FakeDomain,), {"__module__": module.__name__})
    assert list(exposed(kind("lights"))) == []
    tmp_path.chmod(0o777)
    (remark,) = exposed(kind("lights"))
    assert remark == f"every user of this machine may change its code in {tmp_path}; run: chmod -R o-w {tmp_path}"
