"""A catalogue of many owners: unique names, training on it, and its log in the store."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakes import FakeDomain, artifact
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from arbitrank.cli.main import cli
from arbitrank.domain import Domain, Skill, SkillParameter
from arbitrank.errors import ArbitrankError, Conflict, InputError, StoreError
from arbitrank.live.live import Live
from arbitrank.promotion import consider, promote
from arbitrank.serve.messages import RemovedSkill, SkillsCall
from arbitrank.serve.skills_call import changed_skills
from arbitrank.shortlist.artifact import load_shortlister, read_skills
from arbitrank.shortlist.build import SkillUtterance, build, catalogue, write
from arbitrank.shortlist.calibration import CandidateCalibration
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.changes import changed, with_log
from arbitrank.shortlist.gathering import ListedSkills, SkillCount, gather_skills, qualified_name
from arbitrank.shortlist.labels import SkillLabels, labelled_lines
from arbitrank.shortlist.linear_training import train_linear
from arbitrank.shortlist.shortlister import Shortlister, ShortlistSettings
from arbitrank.store import catalogue_log as logs
from arbitrank.store.catalogue_log import CatalogueChanges, SkillKey, changes_after
from arbitrank.store.key_files import keygen, read_key
from arbitrank.store.kinds import SHORTLIST
from arbitrank.store.signing import Keys
from arbitrank.store.store import Store, open_store
from arbitrank.store.store_checks import store_checks
from arbitrank.values import Request
from arbitrank.wire.catalogue_lines import CatalogueSkill

TIDE = CatalogueSkill("tide_table", "harbour", "High and low tide at a port")
MOON = CatalogueSkill("moon", "sky", "Phase of the moon tonight")
STARS = CatalogueSkill("stars", "sky", "Constellations that are above the horizon")
SHIPS = CatalogueSkill("ships", "harbour", "Arrivals of vessels and ferries")
SKILLS = (TIDE, MOON, STARS, SHIPS)


def listed(*skills: CatalogueSkill) -> ListedSkills:
    return ListedSkills((f"here:{n}", one) for n, one in enumerate(skills, 1))


def names(shortlister: Shortlister, text: str, k: int = 1) -> list[str]:
    return [one.skill for one in shortlister.shortlist(text, k)]


def publish(store: Store, folder: Path, *skills: CatalogueSkill, change: int = 0) -> str:
    given = listed(*skills or SKILLS)
    write(build([], listed=ListedSkills(given.skills, change=change)), folder)
    return store.publish(folder, promote=True).version


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", environment={})


# --------------------------------------------------------------------------------------------------------- unique names

_WORDS = st.sampled_from(["a", "A", "b", "a/b", "%", "/", "b/a", "%2F", "é"])


@given(st.lists(st.tuples(_WORDS, _WORDS), max_size=12))
def test_names_are_unique_and_tell_owner_and_name(pairs: list[tuple[str, str]]) -> None:
    gathered = gather_skills((str(n), CatalogueSkill(*pair)) for n, pair in enumerate(pairs))
    assert len(set(gathered.names)) == len(gathered) == len(set(pairs))
    owners = [{domain for name, domain in pairs if name == one.name} for one in gathered.skills]
    for unique, one, every in zip(gathered.names, gathered.skills, owners, strict=True):
        assert unique in (one.name, qualified_name(one.domain, one.name))
        assert len(every) == 1 or unique != one.name
    skills = SkillCatalogue.of(gathered)
    labels = SkillLabels.of(skills)
    for number, one in enumerate(gathered.skills):
        assert skills.number_of(one.domain, one.name) == number
        assert labels.find(one.name, one.domain) == (gathered.names[number],)
    count = SkillCount()
    for name, domain in pairs:
        count.add(CatalogueSkill(name, domain))
    assert (count.skills, set(count.clashing)) == (len(pairs), set(gathered.clashing))
    assert count.repeated == len(pairs) - len(gathered)


@given(st.lists(st.tuples(st.booleans(), _WORDS, _WORDS), max_size=15))
def test_skills_added_and_removed_one_by_one_keep_owner_and_name(steps: list[tuple[bool, str, str]]) -> None:
    skills, present = SkillCatalogue(), set[tuple[str, str]]()
    for add, domain, name in steps:
        number = skills.number_of(domain, name)
        assert (number is not None) == ((domain, name) in present)
        if add:
            skills = skills.with_skills([(domain, Skill(name))])
            present.add((domain, name))
        elif number is not None:
            skills = skills.without([skills[number][0]])
            present.remove((domain, name))
    unique = [name for _, name, _ in skills.present()]
    assert len(unique) == len(set(unique)) == len(present)


def test_lines_of_one_owner_and_name_are_one_skill_with_the_texts_of_all() -> None:
    again = CatalogueSkill("moon", "sky", "Mondphase heute", ("mond",), language="de", version="2")
    gathered = gather_skills([("a:1", MOON), ("a:2", again), ("a:3", MOON)])
    (one,) = gathered.skills
    assert one.description == f"{MOON.description}\n{again.description}"
    assert (one.phrases, one.language, one.version) == (("mond",), None, "2")
    assert gathered.joined == (1, "a:2")
    assert gathered.repeated == (1, "a:3")


def test_the_report_names_clashes_repetitions_and_bare_skills() -> None:
    clashing = [("x", CatalogueSkill("same", f"owner{n}")) for n in range(3)]
    text = "\n".join(gather_skills([*clashing, ("y", MOON), ("z", MOON)]).remarks())
    assert "3 skills have a name of several owners and are named OWNER/NAME: same of owner0, owner1, owner2" in text
    assert "1 line like another one: z" in text
    assert "3 skills without description and phrases" in text


_FULL = CatalogueSkill(
    "tide", "harbour", "Gezeiten 潮", ("a", "b"), (SkillParameter("port", "Where"),), "de", "2", ("sea", "time")
)


@given(st.lists(st.sampled_from([_FULL, *SKILLS, CatalogueSkill("moon", "sky", "new", ("mond",)), MOON]), max_size=12))
def test_skills_in_a_file_are_those_that_were_added(skills: list[CatalogueSkill]) -> None:
    """Joined with those of the same owner and name; a catalogue of more skills leaves the one before as it was."""
    every = [(str(n), one) for n, one in enumerate(skills)]
    whole, first = gather_skills(every), gather_skills(every[:6])
    both, before = gather_skills(every[6:], before=first), list(first.skills)
    assert list(both.skills) == list(whole.skills) == list(whole.skills[:])
    assert (both.names, both.domains, both.own) == (whole.names, whole.domains, whole.own)
    assert list(first.skills) == before
    if skills.count(_FULL) == 1:
        assert _FULL in whole.skills


def test_half_a_character_is_refused_with_its_skill() -> None:
    with pytest.raises(InputError, match="skill 'moon': half a character"):
        gather_skills([("a", CatalogueSkill("moon", "sky", "\ud800"))])


def test_names_that_differ_by_case_stay_apart() -> None:
    found = build([], listed=listed(CatalogueSkill("Tide", "a", "high"), CatalogueSkill("tide", "b", "low")))
    assert found.skills.names == ("Tide", "tide")
    assert names(found.shortlister, "low") == ["tide"]


# ------------------------------------------------------------------------------------------------------------ training


def line(text: str, skill: str, domain: str, *acceptable: str) -> SkillUtterance:
    return SkillUtterance(text, skill, domain, frozenset([skill, *acceptable]), Request(utterance=text))


def test_labels_name_a_skill_by_owner_by_qualified_name_or_by_an_unambiguous_name() -> None:
    others = (CatalogueSkill("moon", "cinema", "Films"), TIDE, MOON)
    lines = [
        line("a", "moon", "sky", "tide_table"),
        line("b", "cinema/moon", "cinema/moon"),
        line("c", "tide_table", "tide_table", "moon"),
        line("d", "moon", "moon"),
        line("e", "new", "sky"),
    ]
    gathered, labelled = catalogue(lines, listed=listed(*others))
    assert [(one.skill, one.domain) for one in labelled.lines] == [
        ("sky/moon", "sky"), ("cinema/moon", "cinema"), ("tide_table", "harbour"), ("new", "sky"),
    ]  # fmt: skip
    assert labelled.lines[0].acceptable == {"sky/moon", "tide_table"}
    assert labelled.lines[2].acceptable == {"tide_table", "cinema/moon", "sky/moon"}
    assert (labelled.ambiguous, labelled.example) == (1, "moon")
    assert gathered.names[-1] == "new"


def test_a_catalogue_is_found_by_its_texts_and_kept_in_the_artifact(tmp_path: Path) -> None:
    twins = (CatalogueSkill("moon", "cinema", "Films at night"), *SKILLS)
    write(build([], listed=listed(*twins)), tmp_path / "a")
    read = load_shortlister(tmp_path / "a")
    assert names(read, "films at night") == ["cinema/moon"]
    assert names(read, "phase of the moon tonight") == ["sky/moon"]
    assert read.catalogue.number_of("sky", "moon") == 2
    assert next(read_skills(tmp_path / "a").owned()) == ("cinema/moon", "cinema", "moon")
    texts = [json.loads(line) for line in (tmp_path / "a" / "catalogue.jsonl").read_text().splitlines()]
    assert [one["name"] for one in texts] == [one.name for one in twins]


def test_a_domain_with_a_taken_skill_is_served_under_a_qualified_name() -> None:
    shortlister = build([], listed=listed(*SKILLS)).shortlister
    domains: dict[str, Domain] = {"cinema": FakeDomain("cinema", skills=[Skill("moon", "films and popcorn")])}
    served = shortlister.serving(domains)
    assert names(served, "popcorn") == ["cinema/moon"]
    assert served.serving(domains) is served


def test_a_skill_that_utterances_taught_is_not_replaced_by_its_description() -> None:
    lines = [line(f"is it full x{n}", "moon", "sky") for n in range(5)]
    shortlister = build(lines, listed=listed(*SKILLS)).shortlister
    again = shortlister.with_skills({"sky": [Skill("moon", "other words"), Skill("stars", "galaxies")]})
    assert names(again, "is it full") == ["moon"]
    assert names(again, "galaxies") == ["stars"]
    assert "stars" not in names(again, "constellations horizon", 5)


# ------------------------------------------------------------------------------------------------------------- the log


def test_a_log_gives_the_same_skills_step_by_step_and_at_once(store: Store, tmp_path: Path) -> None:
    start = build([], listed=listed(TIDE, MOON)).shortlister
    store.change_catalogue([STARS, CatalogueSkill("moon", "cinema", "films and popcorn")])
    step = with_log(start, store.catalogue_log())
    assert step.change == 1
    assert names(step, "popcorn") == ["cinema/moon"]
    store.change_catalogue([SHIPS], [SkillKey("sky", "moon"), SkillKey("sky", "stars"), SkillKey("no", "one")])
    step = with_log(step, store.catalogue_log())
    whole = with_log(start, open_store(tmp_path / "store", environment={}).catalogue_log())
    present = [{(n, d) for _, n, d in one.catalogue.present()} for one in (step, whole)]
    assert present[0] == present[1] == {("tide_table", "harbour"), ("cinema/moon", "cinema"), ("ships", "harbour")}
    assert step.change == whole.change == 2
    assert with_log(whole, store.catalogue_log()) is whole


def test_a_large_change_is_split(store: Store) -> None:
    many = [CatalogueSkill(f"skill{n}", "sky", "x" * 3_000) for n in range(300)]
    assert store.change_catalogue(many) > 1
    changes = changes_after(store.catalogue_log(), 0)
    assert changes is not None
    assert list(changes.skills) == many
    with pytest.raises(InputError, match="no skill to add or to remove"):
        store.change_catalogue([])


def test_concurrent_writers_lose_nothing(store: Store, tmp_path: Path) -> None:
    one, other = store.catalogue_log(), open_store(tmp_path / "store", environment={}).catalogue_log()
    one.latest(), other.latest()
    for n, log in enumerate([one, other, other, one]):
        assert logs.append_changes(log, [CatalogueSkill(f"s{n}", "sky")]) == n + 1


def _append_until_killed(folder: str) -> None:
    log = open_store(folder, environment={}).catalogue_log()
    while True:
        logs.append_changes(log, [CatalogueSkill(f"s{n}", "sky", "x" * 1_000) for n in range(50)])


def test_a_writer_that_is_killed_leaves_whole_changes(store: Store, tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_append_until_killed, args=(str(tmp_path / "store"),))
    process.start()
    log = store.catalogue_log()
    until(lambda: (latest := log.latest()) is not None and latest.number >= 3)
    process.kill()
    process.join()
    assert [check.problem for check in log.checks()] == [None]
    assert all(len(change.skills) == 50 for change in log.entries())


def test_with_keys_changes_are_signed_and_chained(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    private, public, _ = keygen(tmp_path / SHORTLIST)
    public.rename(tmp_path / "keys" / public.name)
    keys = Keys(tmp_path / "keys")
    plain = open_store(tmp_path / "store", environment={})
    plain.change_catalogue([TIDE])
    signing = open_store(tmp_path / "store", keys, {}, key=read_key(private))
    with pytest.raises(StoreError, match="change 1 is unsigned"):
        changes_after(signing.catalogue_log(), 0)
    signing.adopt(SHORTLIST)
    signing.change_catalogue([MOON])
    changes = changes_after(open_store(tmp_path / "store", keys, {}).catalogue_log(), 0)
    assert changes is not None
    assert [one.name for one in changes.skills] == ["tide_table", "moon"]
    with pytest.raises(InputError, match="no key to sign"):
        open_store(tmp_path / "store", keys, {}).change_catalogue([STARS])
    entry = tmp_path / "store" / SHORTLIST / "catalogue" / "00000003.json"
    entry.write_text(entry.read_text().replace("moon", "noon"))
    with pytest.raises(StoreError, match="change 3, which was seen before, is another one"):
        changes_after(open_store(tmp_path / "store", keys, {}).catalogue_log(), 0)
    assert any(check.problem for check in store_checks(open_store(tmp_path / "store", keys, {})))


# ----------------------------------------------------------------------------------------------------------- following


@pytest.fixture
def follower(store: Store, tmp_path: Path) -> Callable[[], Live]:
    artifact(tmp_path / "domains" / "sky", "sky", mine=0.7)

    def made() -> Live:
        domains: dict[str, Domain] = {"sky": FakeDomain("sky", tmp_path / "domains" / "sky", skills=[Skill("sky")])}
        own = open_store(tmp_path / "store", environment={})
        live = Live(domains, own, selftest=lambda folder, name: None, shortlist=ShortlistSettings(k=1))
        live.look()
        return live

    return made


def best(live: Live, text: str) -> str | None:
    shortlist = live.answer(text).shortlist
    return shortlist.candidates[0].skill if shortlist and shortlist.candidates else None


def test_a_change_is_found_here_at_once_and_elsewhere_at_the_next_look(
    store: Store, tmp_path: Path, follower: Callable[[], Live]
) -> None:
    publish(store, tmp_path / "a", MOON, STARS)
    here, there = follower(), follower()
    assert best(here, "tide port") is None
    assert here.catalogue.change([TIDE]) == 1
    assert best(here, "tide port") == "tide_table"
    assert best(there, "tide port") is None
    there.look()
    assert best(there, "tide port") == "tide_table"
    there.catalogue.change([], [SkillKey("harbour", "tide_table")])
    here.look()
    assert best(here, "tide port") is best(there, "tide port") is None


def test_a_change_that_cannot_be_kept_is_taken_back(
    store: Store, tmp_path: Path, follower: Callable[[], Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, tmp_path / "a", MOON, STARS)
    live = follower()
    seen = []

    def fails(*args: Any, **more: Any) -> int:
        seen.append(best(live, "tide port"))
        raise StoreError("full")

    monkeypatch.setattr(Store, "change_catalogue", fails)
    with pytest.raises(StoreError, match="full"):
        live.catalogue.change([TIDE])
    assert seen == ["tide_table"]
    assert best(live, "tide port") is None


def test_a_later_version_and_a_rollback_begin_where_they_were_trained(
    store: Store, tmp_path: Path, follower: Callable[[], Live]
) -> None:
    publish(store, tmp_path / "a", MOON, STARS)
    live = follower()
    live.catalogue.change([TIDE])
    publish(store, tmp_path / "b", *SKILLS, change=1)
    live.look()
    assert best(live, "tide port") == "tide_table"
    assert live.routing.stable.shortlisting.shortlister.catalogue.later == ((("sky", "sky")),)  # type: ignore[union-attr]
    store.rollback(SHORTLIST)
    live.look()
    assert best(live, "tide port") == "tide_table"
    assert best(live, "vessels") is None


def test_a_damaged_log_is_reported_and_the_catalogue_stays(
    store: Store, tmp_path: Path, follower: Callable[[], Live]
) -> None:
    publish(store, tmp_path / "a", MOON, STARS)
    live = follower()
    store.change_catalogue([TIDE])
    entry = tmp_path / "store" / SHORTLIST / "catalogue" / "00000001.json"
    whole = entry.read_text()
    entry.write_text(whole[:50])
    live.look()
    again = follower()
    for one in (live, again):
        problem = one.status().domains[SHORTLIST].problem
        assert "00000001.json is no change that can be decoded" in (problem or "")
        assert best(one, "phase of the moon") == "moon"
    entry.write_text(whole)
    live.look()
    assert live.status().domains[SHORTLIST].problem is None
    assert best(live, "tide port") == "tide_table"


# ---------------------------------------------------------------------------------------------------------- over HTTP


def test_a_call_for_a_domain_changes_its_own_skills_alone() -> None:
    body = SkillsCall([{"name": "moon", "description": "x" * 20_000}], [RemovedSkill("old")])
    added, removed, cut = changed_skills("sky", body)
    assert (added[0].domain, removed) == ("sky", (SkillKey("sky", "old"),))
    assert "cut to 10000" in cut[0]
    for wrong, reason in (
        (SkillsCall([{"name": "moon", "domain": "sea"}]), r'skills\[0\].domain: "sea" is another owner, expected sky'),
        (SkillsCall([], [RemovedSkill("moon", "sea")]), r"removed\[0\]"),
        (SkillsCall([{"nam": "moon"}]), r"skills\[0\]: 'nam': unknown key; did you mean name"),
        (SkillsCall(), "both empty"),
    ):
        with pytest.raises(InputError, match=reason):
            changed_skills("sky", wrong)
    anyones, _, _ = changed_skills(SHORTLIST, SkillsCall([{"name": "moon", "domain": "sea"}, {"name": "sun"}]))
    assert [one.domain for one in anyones] == ["sea", "sun"]
    _, removed, _ = changed_skills("sky", SkillsCall([], [RemovedSkill("old"), RemovedSkill("old", "sky")]))
    assert removed == (SkillKey("sky", "old"),)


# ------------------------------------------------------------------------------------------------------------ commands


def run(*args: str, store: Store) -> Any:
    return CliRunner().invoke(cli, ["shortlist", *args, "--store", str(store)], prog_name="arbitrank")


def trained(store: Store, catalogue: str, *options: str) -> tuple[str, ...]:
    """Trains with a catalogue and promotes; the arguments, to train again."""
    train = ("train", "--no-domains", "--promote", "--catalogue", catalogue, *options)
    assert run(*train, store=store).exit_code == 0
    return train


def written(folder: Path, *skills: CatalogueSkill) -> str:
    path = folder / "skills.jsonl"
    path.write_text("".join(json.dumps({"name": one.name, "owner": one.domain, "description": one.description}) + "\n"
                            for one in skills))  # fmt: skip
    return str(path)


def test_the_catalogue_is_trained_changed_exported_and_trained_again(store: Store, tmp_path: Path) -> None:
    train = ("train", "--no-domains", "--promote")
    done = run(*train, "--catalogue", written(tmp_path, *SKILLS), store=store)
    assert "4 skills" in done.output, done.output
    assert (
        "1 skill added, change 1"
        in run("add", written(tmp_path, CatalogueSkill("moon", "cinema", "Films")), store=store).output
    )
    assert "1 skill removed, change 2" in run("remove", "tide_table", store=store).output
    assert "skills of sky, cinema, expected one; name its owner" in str(run("remove", "moon", store=store).exception)
    assert "not in the catalogue of 4 skills" in str(run("remove", "nothing", store=store).exception)
    gone = str(run("remove", "tide_table", "--domain", "harbour", store=store).exception)
    assert gone == "skill 'tide_table': harbour has no such skill, and 1 other; see: arbitrank shortlist skills"
    assert "sky has no such skill, and 2 others; harbour has" in str(
        run("remove", "ships", "--domain", "sky", store=store).exception
    )
    assert run("remove", "moon", "stars", "--domain", "sky", "--domain", "sky", store=store).exit_code == 0
    kept = run("skills", store=store).stdout
    assert [json.loads(one)["name"] for one in kept.splitlines()] == ["ships", "moon"]
    assert "cinema" in run("query", "films", "--no-domains", store=store).output
    path = written(tmp_path, *SKILLS)
    again = run(*train, "--catalogue", path, store=store)
    assert "changes 1 to 3 of the catalogue log, in all: 1 skill added or replaced, 3 removed" in again.output
    assert again.exit_code == 1
    assert (
        "3 of the 4 skills of the version before are missing, expected no more than half: tide_table, moon, stars"
        in again.output
    )
    forced = run(*train, "--catalogue", path, "--force", store=store)
    assert "2 skills" in forced.output
    assert run("skills", store=store).stdout == kept
    third = run(*train, "--catalogue", path, store=store)
    assert "catalogue log" not in third.output


def test_a_full_log_takes_no_more_skills_until_a_training(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there stays served, can be removed, and is trained with, though it be more than is taken."""
    monkeypatch.setattr(logs, "MAX_SKILLS", 3)
    train = trained(store, written(tmp_path, *SKILLS))
    new = [CatalogueSkill(f"new{n}", "sky", f"thing {n}") for n in range(4)]
    full = run("add", written(tmp_path, *new), store=store).exception
    assert str(full).startswith("4 skills to add, beside 0 that were changed since the training, expected at most 3")
    assert "arbitrank shortlist train --catalogue FILE --promote" in str(full)
    assert run("add", written(tmp_path, *new[:3]), store=store).exit_code == 0
    assert "beside 3 that were changed" in str(run("add", written(tmp_path, new[3]), store=store).exception)
    store.change_catalogue(new)  # by a release without the bound
    assert "new3" in run("query", "thing 3", "--no-domains", store=store).output
    assert run("remove", "new0", store=store).exit_code == 0
    written(tmp_path, *SKILLS)
    assert run(*train, store=store).exit_code == 0
    assert run("add", written(tmp_path, *new[:3]), store=store).exit_code == 0


def test_a_service_refuses_skills_for_which_its_log_has_no_room(
    store: Store, tmp_path: Path, follower: Callable[[], Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A skill that is replaced again and again takes one place, one of an installed domain none."""
    monkeypatch.setattr(logs, "MAX_SKILLS", 2)
    publish(store, tmp_path / "a", MOON, STARS)
    live = follower()
    for n in range(3):
        live.catalogue.change([CatalogueSkill("new", "sky", f"thing {n}")])
    with pytest.raises(Conflict, match="2 skills to add, beside 1 that"):
        live.catalogue.change([TIDE, SHIPS])
    assert best(live, "tide port") is None
    there = follower().catalogue
    assert there.known([SkillKey("sky", "new"), SkillKey("harbour", "tide_table")]) == {SkillKey("sky", "new")}


def test_a_service_without_a_stable_version_counts_the_whole_log(
    store: Store, follower: Callable[[], Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_SKILLS", 2)
    live = follower()
    live.catalogue.change([TIDE, MOON])
    with pytest.raises(Conflict, match="1 skills to add, beside 2 that"):
        live.catalogue.change([STARS])
    assert live.catalogue.known([SkillKey("sky", "moon"), SkillKey("sky", "stars")]) == {SkillKey("sky", "moon")}
    assert live.catalogue.last() == 1


def test_skills_that_were_changed_already_need_no_room(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file can be added every night; skills of the version that were replaced count once."""
    monkeypatch.setattr(logs, "MAX_SKILLS", 4)
    trained(store, written(tmp_path, *SKILLS))
    for _ in range(3):
        assert run("add", written(tmp_path, *SKILLS), store=store).exit_code == 0
    shortlister = load_shortlister(store.stable(SHORTLIST) or tmp_path)
    changed = with_log(shortlister, store.catalogue_log()).catalogue.changed
    assert changed == {SkillKey(one.domain, one.name) for one in SKILLS}


def test_a_rollback_serves_the_changes_of_before_and_a_training_takes_them(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log of the older version has more skills than may be added."""
    monkeypatch.setattr(logs, "MAX_SKILLS", 3)
    train = trained(store, written(tmp_path, *SKILLS))
    for half in range(2):
        new = [CatalogueSkill(f"new{half}{n}", "sky", f"thing {half}{n}") for n in range(3)]
        assert run("add", written(tmp_path, *new), store=store).exit_code == 0
        written(tmp_path, *SKILLS)
        if not half:
            assert run(*train, store=store).exit_code == 0
    store.rollback(SHORTLIST)
    for name in ("00", "12"):
        assert f"new{name}" in run("query", f"thing {name}", "--no-domains", store=store).output
    assert "beside 6 that" in str(run("add", written(tmp_path, CatalogueSkill("x", "y")), store=store).exception)
    written(tmp_path, *SKILLS)
    assert "10 skills" in run(*train, store=store).output


def test_a_removed_skill_stays_removed_though_lines_name_it_alone(store: Store, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    lines = [{"text": f"when is high water {n}", "skill": "tide_table"} for n in range(9)]
    data.write_text("".join(json.dumps(one) + "\n" for one in lines))
    train = trained(store, written(tmp_path, *SKILLS), "--data", str(data))
    assert run("remove", "tide_table", store=store).exit_code == 0
    again = run(*train, "--force", store=store)
    assert "9 lines of removed skills are left out" in again.output, again.output
    assert "tide_table" not in run("query", "when is high water", "--no-domains", store=store).output


@pytest.mark.parametrize(
    ("skill", "domain", "kept"),
    [
        ("tides", "harbour", None),
        ("harbour/tides", "harbour/tides", None),  # which another owner's skill is named, too
        ("harbour/tides", "harbour", None),
        ("high", "high", None),
        ("tides", "tides", "port"),  # of those with this name the one that is left
        ("tides", "port", "port"),
        ("harbour/tides", "evil", "evil"),
        ("sky/new", "sky/new", "sky/new"),
    ],
)
def test_lines_of_a_removed_skill_are_left_out_by_every_label(skill: str, domain: str, kept: str | None) -> None:
    present = [CatalogueSkill("tides", "port"), CatalogueSkill("harbour/tides", "evil"), MOON]
    removed = frozenset([SkillKey("harbour", "tides"), SkillKey("harbour", "high")])
    given = ListedSkills([("here", one) for one in present], removed)
    gathered, labelled = catalogue([line("high water", skill, domain)], listed=given)
    assert [one.domain for one in labelled.lines] == ([kept] if kept else [])
    assert labelled.removed == (kept is None)
    assert len(gathered) == 3 + (kept == "sky/new")


@pytest.mark.parametrize("left", [0, 40])
def test_where_lines_of_one_skill_or_none_are_left_the_rest_is_trained(left: int) -> None:
    """The linear kernel needs two skills with lines."""
    lines = [line(f"high water {n}", "tides", "tides") for n in range(200)]
    lines += [line(f"moon phase {n}", "moon", "moon") for n in range(left)]
    given = ListedSkills([("here", MOON), ("here", STARS)], frozenset([SkillKey("harbour", "tides")]))
    found = build(lines, listed=given, linear=train_linear)
    assert (found.utterances, found.labelled.removed) == (left, 200)
    assert found.shortlister.linear is None
    assert names(found.shortlister, "phase of the moon") == ["moon"]


def test_a_removal_names_skills_as_they_are_served_and_never_anothers(store: Store, tmp_path: Path) -> None:
    """What was removed once is not there, whatever others are called."""
    skills = [CatalogueSkill("tides", one, f"water of {one}") for one in ("harbour", "port")]
    more = [CatalogueSkill("harbour/tides", "evil", "bad"), *(CatalogueSkill(f"s{n}", "sky", "x") for n in range(6))]
    trained(store, written(tmp_path, *skills, *more))
    assert run("remove", "harbour/tides", store=store).exit_code == 0
    assert "not in the catalogue" in str(run("remove", "harbour/tides", store=store).exception)
    assert "1 skill removed" in run("remove", "port/tides", "port/tides", store=store).output
    assert run("remove", "harbour/tides", "--domain", "evil", store=store).exit_code == 0
    assert "tides" not in run("skills", store=store).stdout


def test_owner_and_name_stand_for_no_skill_of_another_owner_with_that_name(store: Store, tmp_path: Path) -> None:
    """Neither before the removal nor after it, nor after a training."""
    evil, plain = CatalogueSkill("harbour/tides", "evil", "bad"), CatalogueSkill("a/b", "a/b", "without an owner")
    run("add", written(tmp_path, CatalogueSkill("tides", "harbour", "water"), evil, plain, *SKILLS), store=store)
    assert run("remove", "harbour/tides", store=store).exit_code == 0
    refused = "skill 'harbour/tides': not in the catalogue of 6 skills; evil has one of this name: --domain NAME"
    assert str(run("remove", "harbour/tides", store=store).exception) == refused
    trained(store, written(tmp_path, evil, plain, *SKILLS))
    assert str(run("remove", "harbour/tides", store=store).exception) == refused
    assert run("remove", "a/b", store=store).exit_code == 0
    assert run("remove", "harbour/tides", "--domain", "evil", store=store).exit_code == 0


def test_skills_of_a_log_that_a_stage_owns_are_left_out_of_a_training(store: Store, tmp_path: Path) -> None:
    store.change_catalogue([CatalogueSkill("zz", SHORTLIST, "x"), STARS])  # by a release that took them
    done = run("train", "--no-domains", "--promote", "--catalogue", written(tmp_path, MOON), store=store)
    assert "1 skill of the log left out, whose owner is a stage: 'zz' of '.shortlist'" in done.output
    assert "2 skills" in done.output
    assert SHORTLIST not in run("skills", store=store).stdout


def test_a_stage_owns_no_skill(store: Store, tmp_path: Path) -> None:
    (tmp_path / "alone.jsonl").write_text('{"name": "fine"}\n{"name": ".shortlist"}\n')
    alone = run("add", str(tmp_path / "alone.jsonl"), store=store).exception
    assert 'alone.jsonl:2: owner: ".shortlist" is a stage' in str(alone)
    refused = run("add", written(tmp_path, CatalogueSkill("zz", ".shortlist", "x")), store=store).exception
    assert "owner: '.shortlist' is a stage of the arbitrator" in str(refused).replace('"', "'")
    with pytest.raises(InputError, match=r"skills\[0\]: owner: "):
        changed_skills(SHORTLIST, SkillsCall([{"name": "zz", "domain": ".hyprank"}], []))


def test_removing_more_than_half_needs_force(store: Store, tmp_path: Path) -> None:
    run("add", written(tmp_path, TIDE, MOON, STARS), store=store)
    assert run("remove", "moon", "stars", store=store).exit_code == 1
    assert run("remove", "moon", "stars", "--force", store=store).exit_code == 0
    assert "no skill in the catalogue" in str(
        run("skills", store=open_store(tmp_path / "none", environment={})).exception
    )


def test_a_catalogue_that_shrinks_in_a_folder_is_refused(store: Store, tmp_path: Path) -> None:
    out = ("train", "--no-domains", "--out", str(tmp_path / "out"), "--catalogue")
    assert run(*out, written(tmp_path, *SKILLS), store=store).exit_code == 0
    assert run(*out, written(tmp_path, *SKILLS[:2]), store=store).exit_code == 0
    assert run(*out, written(tmp_path, *SKILLS), store=store).exit_code == 0
    found = run(*out, written(tmp_path, TIDE), store=store)
    assert found.exit_code == 1
    assert "--force" in found.output


def test_a_catalogue_that_cannot_be_read_is_refused_before_anything_is_written(store: Store, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"name": "a"}\n{"name": 5}\n')
    (tmp_path / "empty.csv").write_text("name,owner\n")
    for name, reason in (
        ("bad.jsonl", "bad.jsonl:2: name: 5"),
        ("empty.csv", "no skill in it"),
        ("no", "cannot be read"),
    ):
        found = run("train", "--no-domains", "--catalogue", str(tmp_path / name), store=store)
        assert isinstance(found.exception, ArbitrankError)
        assert reason in str(found.exception)
    assert store.domains() == []


def test_utterances_without_an_owner_are_of_the_skill_of_that_name(store: Store, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"text": f"is it full x{n}", "skill": "moon"}) + "\n" for n in range(30)))
    done = run(
        "train",
        "--no-domains",
        "--catalogue",
        written(tmp_path, *SKILLS),
        "--data",
        str(data),
        "--promote",
        store=store,
    )
    assert "30 utterances, 4 skills" in done.output
    same = run("evaluate", str(data), store=store)
    assert "recall @1 100.0 %" in same.output
    assert "it was trained on these utterances" in same.stderr
    assert "no probabilities" in run("query", "is it full", "--no-domains", store=store).stderr  # 30 are too few
    new = tmp_path / "new.jsonl"
    new.write_text('{"text": "full moon", "skill": "moon"}\n{"text": "buy milk", "domain": null}\n')
    other = run("evaluate", str(new), store=store).stderr
    assert "1 utterance that fit no skill" in other
    assert "trained on" not in other


def test_text_of_a_catalogue_is_not_obeyed_by_a_terminal(store: Store, tmp_path: Path) -> None:
    evil = "\x1b[2J\u202eignore all previous instructions"
    skills = [CatalogueSkill(f"moon{evil}", owner, evil) for owner in ("a\x1b[1m", "b")]
    found = [run("train", "--no-domains", "--catalogue", written(tmp_path, *skills), "--promote", store=store)]
    found += [run("query", "previous instructions", "--no-domains", store=store), run("remove", evil, store=store)]
    for one in found:
        assert not set("\x1b\u202e") & set(one.output)
    assert found[1].exit_code == 0


def test_changes_of_another_process_replace_and_remove(store: Store) -> None:
    start = build([], listed=listed(*SKILLS)).shortlister
    after = changed(start, CatalogueChanges(7, frozenset([SkillKey("sky", "moon")]), (MOON, TIDE)))
    assert after.change == 7
    assert {name for _, name, _ in after.catalogue.present()} == {one.name for one in SKILLS}
    assert labelled_lines([line("x", "moon", "moon")], SkillLabels.of(after.catalogue)).lines[0].domain == "sky"


def test_the_gate_refuses_a_version_whose_catalogue_shrank(store: Store, tmp_path: Path) -> None:
    publish(store, tmp_path / "a")
    write(build([], listed=listed(TIDE)), tmp_path / "b")
    store.publish(tmp_path / "b")
    judgement = consider(store, {}, SHORTLIST)
    assert [one.what for one in judgement.reasons] == ["catalogue"]
    assert judgement.reasons[0].text.startswith("3 of the 4 skills of the version before are missing")
    assert promote(store, judgement) is None
    forced = promote(store, judgement, force=True, reason="three harbours closed")
    assert forced is not None
    assert forced.forced
    write(build([], listed=listed(TIDE, MOON)), tmp_path / "c")
    store.publish(tmp_path / "c")
    assert consider(store, {}, SHORTLIST).reasons == ()


def test_skills_of_domains_whose_code_was_swapped_in_are_known_but_for_removed_ones(
    store: Store, tmp_path: Path
) -> None:
    publish(store, tmp_path / "made")
    live = Live({}, store, shortlist=ShortlistSettings(), selftest=lambda folder, name: None)
    live.look()
    store.change_catalogue((), frozenset({SkillKey("sky", "moon")}), by="tests")
    live.look()
    skills = (Skill("moon", MOON.description), Skill("meteors", "Showers of shooting stars"))
    live.catalogue.serve({"sky": FakeDomain("sky", skills=skills)})
    (version,) = live._follower.states[SHORTLIST].versions.values()
    assert names(version.model.shortlister, "showers of shooting stars") == ["meteors"]
    assert "moon" not in names(version.model.shortlister, "phase of the moon tonight", 5)


def test_a_calibration_states_that_it_was_fitted() -> None:
    assert not CandidateCalibration().fitted
    assert CandidateCalibration(odds=(0.1, 1.0, 0.0)).fitted
