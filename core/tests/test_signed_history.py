"""With keys, a history is believed while every change is signed, follows the one before, and none is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from arbitrank.errors import Conflict, InputError, StoreError
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.history import History
from arbitrank.store.key_files import keygen, open_key, read_key, read_password
from arbitrank.store.prune import prune
from arbitrank.store.seen_changes import SeenChange, SeenChanges
from arbitrank.store.signing import Keys, sign
from arbitrank.store.state import Change, State
from arbitrank.store.store import Store, open_store
from arbitrank.store.store_checks import store_checks


def made(folder: Path, text: str, domain: str = "lights") -> Path:
    (folder / "reranker").mkdir(parents=True)
    (folder / "reranker" / "weights.json").write_text(text)
    seal(folder, Manifest(domain=domain, package="p", package_version="1"))
    return folder


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Keys of two domains, and one for changes alone; the private halves lie in `private`."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "private").mkdir()
    for name in ("lights", "doors", ".changes"):
        _, public, _ = keygen(tmp_path / "private" / name)
        public.rename(tmp_path / "keys" / public.name)
    return Keys(tmp_path / "keys")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def opened(tmp_path: Path, root: Path, keys: Keys) -> Callable[[str | None], Store]:
    """Open the store with the private key of a name, or to read alone."""

    def store(name: str | None = "lights") -> Store:
        key = None if name is None else read_key(tmp_path / "private" / f"{name}.key")
        return open_store(root, keys, {}, key=key)

    return store


@pytest.fixture
def versions(tmp_path: Path, opened: Any) -> list[str]:
    """Two versions, of which the second became stable by change 4."""
    store = opened()
    one, two = (store.publish(made(tmp_path / text, text)).version for text in ("one", "two"))
    store.promote("lights", one)
    store.promote("lights", two)
    return [one, two]


def entry(root: Path, number: int, name: str = "lights") -> Path:
    return root / name / "history" / f"{number:08}.json"


def forget() -> None:
    """Forget what was seen, as another machine would not know it."""
    import os

    shutil.rmtree(os.environ["XDG_STATE_HOME"], ignore_errors=True)


def test_every_change_is_signed_and_names_the_one_before(root: Path, opened: Any, versions: list[str]) -> None:
    store = opened()
    store.rollback("lights", reason="worse")
    store.canary("lights", 0.0)
    prune(store, "lights", keep=1, grace=0)
    assert opened(None).state("lights") == store.state("lights")
    changes = store.history("lights")
    assert [change.number for change in changes] == list(range(1, len(changes) + 1))
    assert all(change.signature for change in changes)
    assert [bool(change.previous) for change in changes] == [False, *[True] * (len(changes) - 1)]
    assert [check.problem for check in store_checks(opened(None))] == [None] * len(list(store_checks(store)))


def rewritten(root: Path, number: int, **changes: Any) -> None:
    content = json.loads(entry(root, number).read_text())
    entry(root, number).write_text(json.dumps({**content, **changes}))


def exchanged(root: Path) -> None:
    two, three = entry(root, 2).read_bytes(), entry(root, 3).read_bytes()
    entry(root, 2).write_bytes(three.replace(b'"number": 3', b'"number": 2'))
    entry(root, 3).write_bytes(two.replace(b'"number": 2', b'"number": 3'))


ATTACKS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "altered state": (lambda root: rewritten(root, 4, state={"stable": "0" * 12}), "change 4 is altered since"),
    "altered reason": (lambda root: rewritten(root, 2, reason="x"), "change 2 is altered since"),
    "another key of the object": (lambda root: rewritten(root, 3, more=1), "change 3 is altered since"),
    "unsigned": (lambda root: rewritten(root, 4, signature=None), "change 4 is unsigned, expected a signature by"),
    "no signature": (lambda root: rewritten(root, 4, signature=[1]), "change 4: no signature that can be read"),
    "unknown key": (
        lambda root: rewritten(root, 4, signature={"key": "0", "value": ""}),
        "change 4 is signed by key 0",
    ),
    "reordered": (exchanged, "change 2 is altered since"),
    "one left out": (lambda root: entry(root, 2).unlink(), "00000002.json is missing"),
    "begun later": (lambda root: entry(root, 1).unlink(), "00000001.json is missing"),
    "spaces alone": (lambda root: rewritten(root, 2), "change 3 does not follow change 2, which was exchanged"),
}


@pytest.mark.parametrize("kind", ATTACKS)
def test_what_was_done_to_a_history_without_its_key_is_named(
    root: Path, opened: Any, versions: list[str], kind: str
) -> None:
    attack, problem = ATTACKS[kind]
    attack(root)
    forget()
    store = opened(None)
    with pytest.raises(StoreError, match=problem) as raised:
        store.state("lights")
    assert "missing" in problem or "arbitrank sign --history lights --key FILE" in str(raised.value)
    assert any(check.problem and problem[:8] in check.problem for check in store_checks(store, "lights"))
    with pytest.raises(StoreError):
        opened().rollback("lights")  # nobody builds on it either


def test_an_unsigned_change_is_refused_by_readers_with_keys_alone(root: Path, opened: Any, versions: list[str]) -> None:
    follower = opened(None)
    assert follower.state("lights")[0] == 4
    open_store(root, environment={}).rollback("lights")
    with pytest.raises(StoreError, match="change 5 is unsigned"):
        follower.state("lights")
    with pytest.raises(StoreError, match="change 5 is unsigned"):
        opened(None).state("lights")
    assert open_store(root, environment={}).state("lights")[0] == 5
    opened().adopt("lights")
    assert follower.state("lights")[0] == opened(None).state("lights")[0] == 6


def test_a_history_that_became_shorter_is_refused_by_all_who_saw_it(
    root: Path, opened: Any, versions: list[str]
) -> None:
    follower = opened(None)
    follower.state("lights")
    first = entry(root, 1).read_bytes()
    entry(root, 4).unlink()
    assert not follower.holds("lights")
    assert follower.state("lights")[0] == 4  # it goes on with what it knows
    with pytest.raises(StoreError, match=r"change 4, which was seen before, is missing; .* remove .*/seen/.*\.json"):
        opened(None).state("lights")
    shutil.rmtree(root / "lights" / "history")
    with pytest.raises(StoreError, match="change 4, which was seen before, is missing"):
        opened(None).state("lights")
    entry(root, 4).parent.mkdir()
    entry(root, 1).write_bytes(first)
    assert opened().adopt("lights").number == 2  # as it is: here it is believed, other hosts have to forget
    assert opened(None).state("lights")[0] == 2
    shutil.rmtree(root / "lights" / "history")
    forget()
    assert opened(None).state("lights") == (0, State())  # a new machine cannot know


def test_a_history_of_which_the_end_was_written_again_is_refused(
    tmp_path: Path, root: Path, opened: Any, versions: list[str]
) -> None:
    follower = opened(None)
    follower.state("lights")
    entry(root, 4).unlink()
    forget()
    opened().rollback("lights", to_package=True)  # by someone who has a key, and did not see change 4
    SeenChanges(follower.backend).see("lights/history", SeenChange(4, "0" * 64))
    assert not follower.holds("lights")
    with pytest.raises(StoreError, match="change 4, which was seen before, is another one"):
        opened(None).state("lights")
    with pytest.raises(StoreError, match="change 4 is another one than before"):
        follower._history("lights").entry(4)


def test_a_signed_history_of_another_domain_is_none(root: Path, opened: Any, versions: list[str]) -> None:
    shutil.copytree(root / "lights" / "history", root / "doors" / "history")
    with pytest.raises(StoreError, match="change 1 is signed by key"):
        opened(None).state("doors")


def test_a_key_for_changes_signs_those_of_every_name_and_no_artifact(
    tmp_path: Path, opened: Any, versions: list[str]
) -> None:
    operator = opened(".changes")
    operator.rollback("lights", by="kitchen")
    change = opened(None).history("lights")[-1]
    assert (change.by, change.via) == ("kitchen", "service")
    with pytest.raises(Exception, match=r"signed by key .*, expected one of lights"):
        operator.publish(made(tmp_path / "three", "three"))


def test_without_a_trusted_key_no_change_is_written(root: Path, opened: Any, versions: list[str]) -> None:
    with pytest.raises(InputError, match=r"no key to sign the change with, which .* requires; give one: --key FILE"):
        opened(None).rollback("lights")
    with pytest.raises(InputError, match=r"is not trusted for changes in .*, expected"):
        opened("doors").rollback("lights")
    (root / "audit.jsonl").write_text("{}")
    with pytest.raises(InputError, match="no key to sign"):
        opened(None).set_audit_set(root / "audit.jsonl")
    assert not list((root / ".audit").rglob("*.jsonl"))
    assert opened(None).state("lights")[0] == 4


def test_a_history_that_was_begun_without_keys_is_adopted(tmp_path: Path, root: Path, opened: Any, keys: Keys) -> None:
    plain = open_store(root, environment={})
    one = made(tmp_path / "one", "one")
    sign(one, opened().key)
    version = plain.publish(one, promote=True).version
    plain.rollback("lights", to_package=True)
    with pytest.raises(StoreError, match="change 1 is unsigned"):
        opened(None).state("lights")
    with pytest.raises(InputError, match="no key to sign with"):
        opened(None).adopt("lights")
    assert opened().adopt("lights").number == 3
    assert opened(None).state("lights") == (3, State(previous=version))
    opened().rollback("lights")  # which reads what came before
    assert opened(None).state("lights")[1].stable == version
    rewritten(root, 1, reason="x")
    forget()
    with pytest.raises(StoreError, match="changes 1 to 2 are not those that change 3 adopted"):
        opened(None).state("lights")


def test_a_key_that_is_replaced_is_no_end_of_the_history(
    tmp_path: Path, root: Path, opened: Any, versions: list[str]
) -> None:
    _, public, _ = keygen(tmp_path / "private" / "next")
    public.replace(tmp_path / "keys" / "lights.pub")
    with pytest.raises(StoreError, match="change 1 is signed by key"):
        opened(None).state("lights")
    opened("next").adopt("lights")
    assert opened(None).state("lights")[1].stable == versions[1]
    opened("next").canary("lights", 0.0)
    assert opened(None).state("lights")[0] == 5  # an equal state is not written again


def test_nothing_is_adopted_where_there_is_nothing_or_it_was_changed_meanwhile(
    monkeypatch: pytest.MonkeyPatch, opened: Any, versions: list[str]
) -> None:
    with pytest.raises(InputError, match="doors has no history"):
        opened("doors").adopt("doors")
    store = opened()
    monkeypatch.setattr(History, "adopt", lambda *_: False)
    with pytest.raises(Conflict, match="was changed meanwhile"):
        store.adopt("lights")


def test_the_audit_set_is_signed_too(tmp_path: Path, root: Path, opened: Any) -> None:
    for text in ("one", "two"):
        (tmp_path / f"{text}.jsonl").write_text(text)
    open_store(root, environment={}).set_audit_set(tmp_path / "one.jsonl")
    with pytest.raises(StoreError, match=r"the history of \.audit is not trusted: change 1 is unsigned"):
        opened(None).audit_set()
    operator = opened(".changes")
    operator.adopt(".audit")
    found = opened(None).audit_set()
    assert found
    assert found.read_text() == "one"
    operator.set_audit_set(tmp_path / "two.jsonl")
    found = opened(None).audit_set()
    assert found
    assert found.read_text() == "two"


def test_without_keys_a_change_has_no_more_keys_than_before(tmp_path: Path, root: Path) -> None:
    open_store(root, environment={}).publish(made(tmp_path / "one", "one"))
    assert set(json.loads(entry(root, 1).read_text())) == {
        "number", "time", "by", "token", "verb", "state", "reason", "forced",
    }  # fmt: skip


def test_what_is_verified_is_what_is_read(root: Path, opened: Any, versions: list[str]) -> None:
    """Of a key that stands twice, the signature and the reader take the same one."""
    raw = entry(root, 4).read_text()
    other = '{"state": {"stable": "000000000000"}, ' + raw.lstrip()[1:]
    assert msgspec.json.decode(other, type=Change) == msgspec.json.decode(raw, type=Change)
    entry(root, 4).write_text(other)
    forget()
    assert opened(None).state("lights")[1].stable == versions[1]


def test_seen_changes_are_kept_apart_by_store_and_survive_damage(tmp_path: Path, root: Path) -> None:
    one, other = open_store(root, environment={}), open_store(tmp_path / "other", environment={})
    seen = SeenChanges(one.backend)
    seen.see("a", SeenChange(3, "3"))
    seen.see("b", SeenChange(1, "1"))
    assert SeenChanges(one.backend).last("a") == SeenChange(3, "3")
    SeenChanges(one.backend).see("a", SeenChange(2, "2"))  # a slower process
    assert SeenChanges(one.backend).last("a") == SeenChange(3, "3")
    assert SeenChanges(other.backend).last("a") is None
    seen.path.write_text("{")
    assert seen.last("a") == SeenChange(3, "3")
    assert SeenChanges(one.backend).last("a") is None


def test_a_private_key_may_have_a_password_in_a_file_or_the_environment(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    password.chmod(0o600)
    assert read_password(password) == "correct horse"
    private, _, identity = keygen(tmp_path / "team", "correct horse")
    assert b"ENCRYPTED" in private.read_bytes()
    for environment, given in (({}, "correct horse"), ({"ARBITRANK_SIGNING_KEY_PASSWORD": "correct horse"}, None)):
        key = open_key(private, environment, password=given)
        assert key
    with pytest.raises(InputError, match="its password is missing; state it by --key-password-file FILE"):
        open_key(private, {})
    with pytest.raises(InputError, match="its password is wrong"):
        open_key(private, {}, password="x")
    assert identity


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (b"secret", 0o644, "every user of this machine may read it .*; run: chmod 600"),
        (b"", 0o600, "empty"),
        (b"one\ntwo\n", 0o600, "several lines"),
        (b"\xff", 0o600, "not UTF-8"),
    ],
)
def test_a_file_that_is_no_password_or_no_secret_is_refused(
    tmp_path: Path, content: bytes, mode: int, problem: str
) -> None:
    (tmp_path / "password").write_bytes(content)
    (tmp_path / "password").chmod(mode)
    with pytest.raises(InputError, match=problem):
        read_password(tmp_path / "password")


def test_keys_that_every_user_may_change_are_not_trusted(keys: Keys) -> None:
    keys.folder.chmod(0o777)
    with pytest.raises(InputError, match=r"every user of this machine may change it .*; run: chmod o-w"):
        keys.of("lights")
    keys.folder.chmod(0o755)
    (keys.folder / "lights.pub").chmod(0o666)
    with pytest.raises(InputError, match=r"key .*lights\.pub: every user of this machine may change it"):
        keys.of("lights")
