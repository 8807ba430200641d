"""Damaged distributions in the environment: each is reported by name; none breaks discovery, a command or a service.

Each case is a folder `NAME-VERSION.dist-info` as some tool leaves it, beside the three reference domains.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.metadata import DistributionFinder
from pathlib import Path
from typing import Any

import pytest
from distributions import FAKES, GROUP, install, serving
from test_registry import REFERENCE, beside_reference

from arbitrank.errors import InputError
from arbitrank.packages import core_version, packages
from arbitrank.registry import Disabled, Loaded, Refused, Survey, discover, loaded, survey
from arbitrank.store.loading import installed

PLUGIN = f"[{GROUP}]\nweather = arbitrank_weather\n"


def dist_info(site: Path, folder: str = "somepkg-1.0.dist-info", **files: str | bytes | None) -> Path:
    """A distribution's folder with these files: `METADATA`, `entry_points`; None leaves one out."""
    path = site / folder
    path.mkdir(parents=True)
    name, _, version = folder.removesuffix(".dist-info").partition("-")
    written = {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "entry_points": None, **files}
    for file, content in written.items():
        if content is not None:
            raw = content if isinstance(content, bytes) else content.encode()
            (path / {"entry_points": "entry_points.txt"}.get(file, file)).write_bytes(raw)
    return path


def plugin(
    site: Path, *names: str, folder: str = "arbitrank_weather-1.0.dist-info", **files: str | bytes | None
) -> Path:
    """A plugin's module, and its distribution's folder."""
    (site / "arbitrank_weather.py").write_text(serving(*names or ("weather",)), encoding="utf-8")
    return dist_info(site, folder, **{"entry_points": PLUGIN, **files})


def problems(found: Survey) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for one in found.unreadable:
        reasons[one.name] = f"{reasons.get(one.name, '')}{one.reason}\n"
    return {name: text.strip() for name, text in reasons.items()}


# The entry points of a package that has nothing to do with arbitrank, and what is reported of it.
JUNK = {
    "a line without an equals sign": ("[console_scripts]\njunk\n", "entry_points.txt:2: 'junk' is malformed"),
    "a line without a name": ("[console_scripts]\n= somepkg\n", "'= somepkg' is malformed, expected NAME = MODULE"),
    "a line without a value": ("[console_scripts]\nrun =\n", "'run =' is malformed, expected NAME = MODULE"),
    "a line before any group": ("run = somepkg\n", "'run = somepkg' is malformed, expected a [group] first"),
    "an open group": ("[console_scripts\nrun = somepkg\n", "'[console_scripts' is malformed, expected a [group] first"),
    "no UTF-8": (b"[console_scripts]\nr\xfcn = somepkg\n", "entry_points.txt cannot be read: UnicodeDecodeError"),
    "UTF-16": ("[console_scripts]\nrun = somepkg\n".encode("utf-16"), "entry_points.txt cannot be read: UnicodeDecode"),
    "bytes of an archive": (b"PK\x03\x04\x00\x00\x08\x00", "is malformed"),
    "markup": ("<html>\n<b>404</b>\n", "entry_points.txt:1: '<html>' is malformed"),
}


@pytest.mark.parametrize(("content", "problem"), JUNK.values(), ids=JUNK)
def test_malformed_entry_points_of_any_package_are_reported_by_its_name(
    site: Path, content: str | bytes, problem: str
) -> None:
    dist_info(site, entry_points=content)
    found = survey({})
    assert beside_reference(found.found) == []
    assert problem in problems(found)["somepkg"]


@pytest.mark.parametrize(
    "content",
    ["", "\n\n", "[a]\n[a]\n", "# note\n; note\n[a]\nx = y\n[a]\nx = y\n", "\ufeff[a]\nx = y [extra, more]\n"],
)
def test_unusual_entry_points_that_can_be_read_are_not(site: Path, content: str) -> None:
    dist_info(site, entry_points=content)
    assert problems(survey({})) == {}


def test_as_many_lines_are_reported_as_somebody_reads(site: Path) -> None:
    dist_info(site, entry_points="[a]\n" + "junk" * 1000 + "\n" + "junk\n" * 10_000)
    lines = [one.reason for one in survey({}).unreadable]
    assert len(lines) == 4
    assert lines[-1].endswith("and 9998 malformed lines more")
    assert max(map(len, lines)) < 400


# The metadata of a package, and what is reported of it.
METADATA = {
    "none": (None, "has no METADATA that can be read"),
    "empty": ("", "has an empty METADATA"),
    "without a name": ("Metadata-Version: 2.1\nVersion: 1.0\n", "its METADATA states no name"),
    "a name without text": ("Name:  \nVersion: 1.0\n", "its METADATA states no name"),
    "a name in the description alone": ("Version: 1.0\n\nName: other\n", "its METADATA states no name"),
    "no UTF-8": (b"Name: somepkg\nVersion: 1.0\nAuthor: J\xf6rg\n", "METADATA cannot be read: UnicodeDecodeError"),
}


@pytest.mark.parametrize(("content", "problem"), METADATA.values(), ids=METADATA)
def test_damaged_metadata_of_any_package_are_reported_by_its_folders_name(
    site: Path, content: str | bytes | None, problem: str
) -> None:
    dist_info(site, METADATA=content)
    found = survey({})
    assert beside_reference(found.found) == []
    assert problem in problems(found)["somepkg"]


@pytest.mark.parametrize(("content", "problem"), METADATA.values(), ids=METADATA)
def test_a_plugin_of_damaged_metadata_is_refused_before_it_is_imported(
    site: Path, content: str | bytes | None, problem: str
) -> None:
    plugin(site, METADATA=content)
    (refused,) = beside_reference(discover({}))
    assert isinstance(refused, Refused)
    assert refused.name == "weather"
    assert problem in refused.reason


def test_a_plugin_with_a_malformed_line_beside_its_own_is_loaded_with_a_note(site: Path) -> None:
    plugin(site, entry_points=f"[console_scripts]\njunk\n{PLUGIN}also junk\n")
    found = survey({})
    (weather,) = beside_reference(found.found)
    assert isinstance(weather, Loaded)
    assert [note.partition("entry_points.txt")[2] for note in weather.notes] == [
        ":2: 'junk' is malformed, expected NAME = MODULE",
        ":5: 'also junk' is malformed, expected NAME = MODULE",
    ]
    assert found.unreadable == []


def test_an_entry_point_that_is_listed_twice_loads_once(site: Path) -> None:
    plugin(site, entry_points=PLUGIN * 3)
    (weather,) = beside_reference(discover({}))
    assert isinstance(weather, Loaded)


def test_two_entry_points_of_a_package_for_one_domain_are_refused_with_the_remedy(site: Path) -> None:
    plugin(site, entry_points=f"{PLUGIN}wetter = arbitrank_weather\n")
    weather, refused = beside_reference(discover({}))
    assert isinstance(weather, Loaded)
    assert isinstance(refused, Refused)
    assert refused.reason.endswith("leave out one of its entry points")


@pytest.mark.parametrize(
    "value",
    [
        "not a module",
        "arbitrank weather",
        "arbitrank_weather:",
        "arbitrank..weather",
        "1weather",
        ":weather",
        "☂",
        "a-b",
    ],
)
def test_an_entry_point_of_a_junk_value_is_refused(site: Path, value: str) -> None:
    plugin(site, entry_points=f"[{GROUP}]\nweather = {value}\n")
    (refused,) = beside_reference(discover({}))
    assert isinstance(refused, Refused)
    assert refused.reason == f"its entry point's value is {value!r}, expected MODULE or MODULE:OBJECT"


@pytest.mark.parametrize(
    "value", ["arbitrank_weather [fast]", "arbitrank_weather [fast, more]", "arbitrank_weather[x]"]
)
def test_extras_in_an_entry_point_are_ignored(site: Path, value: str) -> None:
    plugin(site, entry_points=f"[{GROUP}]\nweather = {value}\n")
    (weather,) = beside_reference(discover({}))
    assert isinstance(weather, Loaded)


@pytest.mark.parametrize(
    "group",
    [
        "arbitrank.domain.v1",
        "arbitrank_domains",
        "arbitrank.domains",
        "arbitrank-domains-v1",
        "Arbitrank.Domains.v1",
        "arbitrank.domains.1",
        "arbitrank",
        "arbitrank.plugins",
        "arbitank.domains.v1",
        "arbitrank. domains.v1",
    ],
)
def test_a_plugin_in_a_wrong_group_is_refused_naming_the_right_one(site: Path, group: str) -> None:
    plugin(site, entry_points=f"[{group}]\nweather = arbitrank_weather\n")
    (refused,) = beside_reference(discover({}))
    assert isinstance(refused, Refused)
    assert str(refused.source) == "weather (arbitrank_weather 1.0)"
    assert f"its entry point is in the group {group!r}, expected 'arbitrank.domains.v1'" in refused.reason


def test_a_plugin_for_another_contract_is_refused_as_such(site: Path) -> None:
    plugin(site, entry_points="[arbitrank.domains.v2]\nweather = arbitrank_weather\n")
    (refused,) = beside_reference(discover({}))
    assert isinstance(refused, Refused)
    assert refused.reason.startswith("is made for contract 2, this core has 1")


@pytest.mark.parametrize("group", ["arbitrank.negatives.v1", "console_scripts", "pytest11", "kedro.domains", "arb.x"])
def test_other_groups_are_no_concern_of_ours(site: Path, group: str) -> None:
    dist_info(site, entry_points=f"[{group}]\nweather = arbitrank_weather\n")
    assert beside_reference(discover({})) == []


@pytest.mark.parametrize(
    ("folder", "entry", "domain", "conforms"),
    [
        ("arbitrank_weather-1.0.dist-info", "weather", "weather", True),
        ("arbitrank_foo-1.0.dist-info", "bar", "bar", False),
        ("arbitrank_weather-1.0.dist-info", "wetter", "weather", False),
        ("arbitrank_wetter-1.0.dist-info", "wetter", "weather", False),
    ],
)
def test_a_package_of_another_name_than_its_domains_is_loaded_with_a_note(
    site: Path, folder: str, entry: str, domain: str, conforms: bool
) -> None:
    plugin(site, domain, folder=folder, entry_points=f"[{GROUP}]\n{entry} = arbitrank_weather\n")
    (found,) = beside_reference(discover({}))
    assert isinstance(found, Loaded)
    assert found.name == domain
    rule = (
        f"comes from {folder.partition('-')[0]}, entry point {entry}; by the naming rule these are arbitrank-{domain}"
    )
    assert found.notes == (() if conforms else (f"{rule} and {domain}",))


def test_a_package_of_several_domains_needs_no_name_of_one(site: Path) -> None:
    install(site, "acme-home", serving("lights", "timers"), entry="home")
    assert [one.notes for one in beside_reference(discover({})) if isinstance(one, Loaded)] == [(), ()]


def test_a_package_is_named_in_the_environment_by_its_entry_point(site: Path) -> None:
    """Without an import the entry point's name is all that is known of a package."""
    install(site, "acme-home", serving("lights", "timers"), entry="home")
    by_entry = survey({"ARBITRANK_DOMAINS": "home"})
    assert {one.name for one in by_entry.found if isinstance(one, Loaded)} == {"lights", "timers"}
    assert by_entry.unreadable == []
    one_of_them = discover({"ARBITRANK_DOMAINS": "home,lights"})
    assert {one.name for one in one_of_them if isinstance(one, Loaded)} == {"lights"}
    by_domain = survey({"ARBITRANK_DOMAINS": "lights"})
    assert all(isinstance(one, Disabled) for one in by_domain.found)
    assert "no installed package has an entry point of that name" in problems(by_domain)["lights"]


def test_a_domain_is_found_by_its_own_name_from_python(site: Path) -> None:
    install(site, "acme-home", serving("lights", "timers"), entry="home")
    assert loaded(installed(["timers"])).keys() == {"timers"}
    assert loaded(installed(["music"])).keys() == {"music"}
    with pytest.raises(InputError, match="domain 'boats' cannot be loaded: not installed"):
        installed(["music", "boats"])


def test_a_misspelt_name_in_the_environment_is_reported_with_the_one_meant() -> None:
    found = survey({"ARBITRANK_DOMAINS": "music,vidoe"})
    assert problems(found)["vidoe"].endswith("did you mean 'video'?")


def test_a_hook_that_returns_no_domain_is_reported(site: Path) -> None:
    plugin(site, entry_points=PLUGIN)
    (site / "arbitrank_weather.py").write_text(
        f"{FAKES}\nfrom arbitrank.hookspecs import hookimpl\n\n@hookimpl\ndef arbitrank_domains():\n    return []\n"
    )
    (refused,) = beside_reference(discover({}))
    assert isinstance(refused, Refused)
    assert refused.reason == "arbitrank_domains() returned no domain, expected at least one"


def test_wrong_display_names_are_noted_and_the_domain_is_loaded(site: Path) -> None:
    code = serving("weather").replace("FakeDomain(name) for", "titled(FakeDomain(name)) for")
    titled = "\n\ndef titled(domain):\n    domain.title, domain.intent_titles = 7, {'Rain': None}\n    return domain\n"
    install(site, "arbitrank-weather", code + titled)
    (weather,) = beside_reference(discover({}))
    assert isinstance(weather, Loaded)
    assert weather.notes == (
        "title: 7 is invalid, expected a text; its name is shown instead",
        "intent_titles['Rain']: None is invalid, expected a text; its name is shown instead",
    )


# Things in the place of a distribution's folder or file.


def test_a_file_in_the_place_of_the_folder_is_reported(site: Path) -> None:
    (site / "somepkg-1.0.dist-info").write_text("junk")
    assert "somepkg" in problems(survey({}))


@pytest.mark.parametrize("file", ["METADATA", "entry_points.txt"])
def test_a_folder_in_the_place_of_a_file_breaks_nothing(site: Path, file: str) -> None:
    path = plugin(site)
    (path / file).unlink()
    (path / file).mkdir()
    found = survey({})
    beside_reference(found.found)
    named = {one.name for one in beside_reference(found.found)} | set(problems(found))
    assert named >= {"METADATA": {"weather"}, "entry_points.txt": set()}[file]


def test_a_link_that_leads_to_itself_is_reported(site: Path) -> None:
    path = dist_info(site, METADATA=None)
    (path / "METADATA").symlink_to("METADATA")
    assert "cannot be read: OSError" in problems(survey({}))["somepkg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read_is_reported(site: Path) -> None:
    path = dist_info(site)
    path.chmod(0)
    try:
        assert "somepkg" in problems(survey({}))
    finally:
        path.chmod(0o755)


def test_what_an_interrupted_pip_left_behind_does_not_count(site: Path) -> None:
    plugin(site)
    dist_info(
        site, "~rbitrank_weather-9.0.dist-info", METADATA="Name: arbitrank-weather\nVersion: 9.0\n", entry_points=PLUGIN
    )
    found = survey({})
    (weather,) = beside_reference(found.found)
    assert (weather.source.version, type(weather)) == ("1.0", Loaded)
    assert problems(found)["~rbitrank_weather-9.0.dist-info"].endswith("left behind by an interrupted pip; remove it")


def test_old_egg_infos_are_read(site: Path) -> None:
    (site / "arbitrank_weather.py").write_text(serving("weather"))
    egg = site / "arbitrank_weather.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: arbitrank-weather\nVersion: 0.3\n")
    (egg / "requires.txt").write_text("arbitrank>=0.1,<1\n")
    (egg / "entry_points.txt").write_text(PLUGIN)
    (site / "lone.egg-info").write_text("Metadata-Version: 1.0\nName: lone\nVersion: 1\n")
    found = survey({})
    (weather,) = beside_reference(found.found)
    assert isinstance(weather, Loaded)
    assert (weather.source.version, weather.notes, found.unreadable) == ("0.3", (), [])


def test_a_requirement_that_nobody_can_read_refuses_the_plugin(site: Path) -> None:
    for requirement in ("arbitrank >>> 1", "arbitrank>=0.1; nothing == '1'", "???"):
        path = plugin(site, METADATA=f"Name: arbitrank-weather\nVersion: 1\nRequires-Dist: {requirement}\n")
        (refused,) = beside_reference(discover({}))
        assert isinstance(refused, Refused)
        assert refused.reason.startswith("its metadata cannot be read: ")
        for file in path.iterdir():
            file.unlink()
        path.rmdir()


def test_of_two_versions_the_first_on_the_path_counts_and_the_other_is_noted(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(site)
    second = site.parent / "second"
    dist_info(second, "arbitrank_weather-2.0.dist-info", entry_points=PLUGIN)
    monkeypatch.setattr("sys.path", [*__import__("sys").path, str(second)])
    (weather,) = beside_reference(discover({}))
    assert weather.source.version == "1.0"
    assert isinstance(weather, Loaded)
    assert "holds version 2.0 too, which 1.0 hides; uninstall one of them" in weather.notes[0]


def test_two_versions_of_a_package_that_is_no_plugin_are_no_concern_of_ours(site: Path) -> None:
    dist_info(site, "somepkg-1.0.dist-info")
    dist_info(site, "somepkg-2.0.dist-info", entry_points="[console_scripts]\nrun = somepkg\n")
    assert problems(survey({})) == {}


@pytest.mark.parametrize("versions", [("1.9", "1.10"), ("1.10", "1.9"), ("junk", "1.10")])
def test_of_two_versions_in_one_folder_the_higher_counts(site: Path, versions: tuple[str, str]) -> None:
    for version in versions:
        plugin(site, folder=f"arbitrank_weather-{version}.dist-info")
    (weather,) = beside_reference(discover({}))
    assert weather.source.version == "1.10"
    assert isinstance(weather, Loaded)
    assert len(weather.notes) == 1


def test_an_empty_folder_beside_the_present_one_is_noted(site: Path) -> None:
    plugin(site)
    (site / "arbitrank_weather-0.9.dist-info").mkdir()
    (weather,) = beside_reference(discover({}))
    assert isinstance(weather, Loaded)
    assert "arbitrank_weather-0.9.dist-info has no METADATA that can be read" in weather.notes[0]


def test_equal_versions_of_an_editable_installation_are_no_problem(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(site)
    second = site.parent / "second"
    dist_info(second, "arbitrank_weather-1.0.dist-info", entry_points=PLUGIN)
    monkeypatch.setattr("sys.path", [*__import__("sys").path, str(second)])
    (weather,) = beside_reference(discover({}))
    assert isinstance(weather, Loaded)
    assert weather.notes == ()


@pytest.mark.parametrize(
    "name", ["Ünï-cöde", "a b c", "[bold]x[/]", "x" * 300, "-", "../up", "\x1b[31mred", "name;rm -rf", "💥"]
)
def test_odd_names_break_nothing(site: Path, name: str) -> None:
    metadata = f"Name: {name}\nVersion: {name}\n"
    plugin(site, METADATA=metadata, entry_points=f"[{GROUP}]\n{name} = arbitrank_weather\n")
    (weather,) = beside_reference(discover({}))
    assert weather.name == "weather" or isinstance(weather, Refused)


def test_a_folder_whose_name_is_no_utf8_is_reported_by_escapes(site: Path) -> None:
    os.mkdir(os.fsencode(site) + b"/caf\xe9-1.0.dist-info")
    (found,) = survey({}).unreadable
    assert found.name == "caf\\udce9"
    found.reason.encode()


def test_a_finder_that_raises_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(DistributionFinder):
        def find_distributions(self, context: Any = None) -> Any:
            raise RuntimeError("no finder today")

        def find_spec(self, *args: Any) -> None:
            return None

    monkeypatch.setattr("sys.meta_path", [*__import__("sys").meta_path, Broken()])
    assert {one.name for one in discover({}) if isinstance(one, Loaded)} == REFERENCE


def test_a_distribution_of_another_finder_may_raise_anywhere() -> None:
    class Raising:
        def read_text(self, file: str) -> str:
            raise ZeroDivisionError

    (found,) = packages([Raising()])  # type: ignore[list-item]
    assert not found.complete
    assert all("ZeroDivisionError" in problem for problem in found.problems)


def test_the_cores_version_is_found_beside_a_damaged_folder_of_it(site: Path) -> None:
    before = core_version()
    core_version.cache_clear()
    (site / "arbitrank-0.0.1.dist-info").mkdir()
    try:
        assert core_version() == before
    finally:
        core_version.cache_clear()


def everything(site: Path) -> set[str]:
    """All kinds of damage in one environment; the names that have to be reported."""
    for number, (content, _) in enumerate(JUNK.values()):
        dist_info(site, f"junk{number}-1.0.dist-info", entry_points=content)
    for number, (content, _) in enumerate(METADATA.values()):
        dist_info(site, f"meta{number}-1.0.dist-info", METADATA=content)
    dist_info(site, "arbitrank_far-1.0.dist-info", entry_points="[arbitrank_domains]\nfar = far\n")
    dist_info(site, "arbitrank_odd-1.0.dist-info", entry_points=f"[{GROUP}]\nodd = not a module\n")
    dist_info(site, "arbitrank_none-1.0.dist-info", METADATA="", entry_points=f"[{GROUP}]\nnone = arbitrank_none\n")
    (site / "lonely-1.0.dist-info").write_bytes(b"\xff\xfe")
    install(site, "arbitrank-foo", serving("bar"), entry="baz")
    return {
        *(f"junk{number}" for number in range(len(JUNK))),
        *(f"meta{number}" for number in range(len(METADATA))),
        *("far", "odd", "none", "lonely", "bar"),
    }


def test_beside_all_of_them_the_commands_answer_as_before(site: Path, arbitrank: Callable[..., Any]) -> None:
    before = arbitrank("ask", "play thriller", "--json")
    names = everything(site)
    for command in (("--version",), ("domains",), ("--help",)):
        done = arbitrank(*command, PYTHONPATH=str(site))
        assert (done.returncode, done.stderr) == (0, "")
    listed = {row["name"]: row for row in json.loads(arbitrank("domains", "--json", PYTHONPATH=str(site)).stdout)}
    assert listed.keys() == REFERENCE | names
    assert all(row["reason"] or row["notes"] for name, row in listed.items() if name in names)
    assert {name for name, row in listed.items() if row["status"] == "unreadable"} == names - {
        "far",
        "odd",
        "none",
        "bar",
    }
    table = arbitrank("domains", PYTHONPATH=str(site)).stdout
    assert all(name in table for name in names)
    after = arbitrank("ask", "play thriller", "--json", PYTHONPATH=str(site))
    assert after.returncode == 0
    assert json.loads(after.stdout)["ranked"] == json.loads(before.stdout)["ranked"]
