"""Whatever happens to the store, it verifies clean, `stable` loads, and what it acknowledged is there.

Children are forked: to start a Python for each of hundreds of kills would take minutes.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from waiting import ended, forked

from arbitrank.domain import CONTRACT
from arbitrank.errors import ArbitrankError, ArtifactError, Conflict, StoreError
from arbitrank.store.artifact import MANIFEST, Manifest, digest, read_manifest, seal, version_of
from arbitrank.store.prune import GRACE, prune
from arbitrank.store.store import Store, open_store
from arbitrank.store.store_checks import store_checks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


def artifact(folder: Path, text: str) -> str:
    """An artifact of three files, the first as large as `text`; its version."""
    for path, content in {"reranker/weights.json": text, "recogniser/tagger.npz": "t", "card.json": "{}"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return seal(folder, Manifest(domain="lights", package="p", package_version="1")).version


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Path]:
    """Three artifacts of one domain, by version."""
    return {artifact(tmp_path / name, name): tmp_path / name for name in ("one", "two", "three")}


def opened(root: Path) -> Store:
    return open_store(root, environment={})


def sound(root: Path) -> None:
    """A store that just opened it verifies clean, and what is stable loads."""
    store = opened(root)
    assert [f"{check.what}: {check.problem}" for check in store_checks(store) if check.problem] == []
    for domain in store.domains():
        _, state = store.state(domain)
        for version in state.names().values():
            store.fetch(domain, version)


# ------------------------------------------------------------------------------------------------- killed at every step


def kill_at(step: int, root: Path) -> None:
    """From now on this process dies by SIGKILL before it touches the store's files for the `step`-th time."""
    left = step

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if (event == "open" or event.startswith("os.")) and any(str(root) in str(arg) for arg in args[:2]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


VERBS: dict[str, Callable[[Store, list[Path], list[str]], Any]] = {
    "publish": lambda store, folders, versions: store.publish(folders[2]),
    "publish promoted": lambda store, folders, versions: store.publish(folders[2], promote=True),
    "promote": lambda store, folders, versions: store.promote("lights", versions[0]),
    "rollback": lambda store, folders, versions: store.rollback("lights"),
    "prune": lambda store, folders, versions: prune(store, "lights", keep=1, grace=0),
    "audit set": lambda store, folders, versions: store.set_audit_set(folders[2] / "card.json"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_any_step_the_store_is_as_before_or_as_after(
    tmp_path: Path, made: dict[str, Path], verb: str
) -> None:
    folders, versions = list(made.values()), list(made)
    whole, root = tmp_path / "whole", tmp_path / "store"
    store = opened(whole)
    for folder in folders[:2]:
        store.publish(folder, promote=True)
    if verb == "prune":
        store.publish(folders[2])
        store.publish(folders[0])
    before = store.state("lights")

    shutil.copytree(whole, root)
    VERBS[verb](opened(root), folders, versions)
    after = opened(root).state("lights")
    steps, kills = 0, 0
    while True:
        steps += 1
        shutil.rmtree(root)
        shutil.copytree(whole, root)

        def work(steps: int = steps) -> None:
            kill_at(steps, root)
            VERBS[verb](opened(root), folders, versions)

        status = ended(forked(work))
        sound(root)
        number, state = opened(root).state("lights")
        if status == 0:
            break
        assert status == -signal.SIGKILL
        kills += 1
        if verb == "prune":
            assert state.names() == before[1].names()
            prune(opened(root), "lights", keep=1, grace=0)
        else:
            assert (number, state) in (before, after)
            if (number, state) == before:
                VERBS[verb](opened(root), folders, versions)
        sound(root)
        assert opened(root).state("lights")[1] == after[1]
    assert opened(root).state("lights") == after
    assert kills >= 10, "the hook sees too little"


# --------------------------------------------------------------------------------------------- killed at random moments


def toil(root: Path, folders: list[Path], seed: int, acknowledge: int) -> None:
    """Publish, promote, roll back and prune without end; each acknowledged change is reported."""
    rng, store = random.Random(seed), opened(root)
    os.write(acknowledge, b"0\n")
    while True:
        try:
            match rng.randrange(4):
                case 0:
                    store.publish(rng.choice(folders))
                case 1:
                    store.publish(rng.choice(folders), promote=True)
                case 2:
                    store.rollback("lights")
                case 3:
                    prune(store, "lights", keep=rng.randint(1, 3), grace=0)
        except ArbitrankError:  # nothing to roll back to, or what another left half removed
            prune(store, "lights", keep=1, grace=0)
        number, _ = store.state("lights")
        os.write(acknowledge, b"%d\n" % number)


@pytest.mark.full
def test_killed_at_random_moments_the_store_verifies_clean_and_stable_loads(
    tmp_path: Path, made: dict[str, Path], scale: float
) -> None:
    rng, most = random.Random(0), 0
    folders = list(made.values())
    artifact(folders[0], "w" * 200_000)  # so that some die while they write
    for kill in range(round(500 * scale)):
        root = tmp_path / f"store{kill // 25}"
        reading, writing = os.pipe()
        child = forked(lambda kill=kill, root=root, writing=writing: toil(root, folders, kill, writing))
        os.close(writing)
        assert os.read(reading, 2) == b"0\n"  # it has begun
        time.sleep(rng.uniform(0.0, 0.15))
        os.kill(child, signal.SIGKILL)
        assert ended(child) == -signal.SIGKILL
        with os.fdopen(reading) as pipe:
            acknowledged = [int(line) for line in pipe.read().splitlines()]
        sound(root)
        numbers = [change.number for change in opened(root).history("lights")]
        assert numbers == list(range(1, len(numbers) + 1))
        assert max(numbers, default=0) >= max(acknowledged, default=0)
        most = max(most, len(numbers))
    assert most > 10, "the children die before they do anything"


# ---------------------------------------------------------------------------------------------------- many at once


@pytest.mark.full
def test_of_eight_processes_that_promote_at_once_one_wins_each_number_and_the_others_get_a_conflict(
    tmp_path: Path, scale: float
) -> None:
    root, wins, alone = tmp_path / "store", tmp_path / "wins", tmp_path / "alone"
    wins.mkdir()
    versions = [artifact(tmp_path / str(i), str(i)) for i in range(8)]
    for i in range(8):
        opened(root).publish(tmp_path / str(i))
    rounds = max(5, round(50 * scale))

    def compete(i: int) -> None:
        store, conflicts, tries = opened(root), 0, 0
        while tries < rounds and not alone.exists():
            number, state = store.state("lights")
            if state.stable == versions[i]:
                continue
            tries += 1
            try:
                change = store.promote("lights", versions[i], expected=number)
                (wins / f"{change.number}.{i}").touch()
            except Conflict:
                conflicts += 1
        (wins / f"conflicts.{i}").write_text(str(conflicts))

    children = [forked(lambda i=i: compete(i)) for i in range(8)]
    stopped = time.monotonic() + 60
    while children and time.monotonic() < stopped:
        children = [child for child in children if os.waitpid(child, os.WNOHANG) == (0, 0)]
        # The last one left would wait for another to replace its version, which none does.
        if len(children) == 1:
            alone.touch()
        time.sleep(0.01)
    assert not children
    promotions = [change for change in opened(root).history("lights") if change.verb == "promote"]
    for change in promotions:
        winners = [path.suffix for path in wins.glob(f"{change.number}.*")]
        assert winners == [f".{versions.index(change.state.stable)}"], "one wins each number, and knows it"
    assert sum(1 for path in wins.iterdir() if not path.name.startswith("conflicts")) == len(promotions)
    assert sum(int(path.read_text()) for path in wins.glob("conflicts.*")) > 0
    sound(root)


def test_two_processes_that_publish_one_version_at_once_make_one(tmp_path: Path, made: dict[str, Path]) -> None:
    folders = list(made.values())
    for attempt in range(10):
        root = tmp_path / f"store{attempt}"

        def work(root: Path = root) -> None:
            for folder in folders:
                opened(root).publish(folder)

        children = [forked(work) for _ in range(2)]
        assert [ended(child) for child in children] == [0, 0]
        assert opened(root).versions("lights") == sorted(made)
        assert {change.state.candidate for change in opened(root).history("lights")} == set(made)
        sound(root)


def test_a_publisher_meets_a_prune_of_what_it_publishes(tmp_path: Path, made: dict[str, Path]) -> None:
    """The one removes the old version that the other publishes again: it is there in the end, whole."""
    folders, (old, *_) = list(made.values()), list(made)
    for attempt in range(10):
        root = tmp_path / f"store{attempt}"
        for folder in folders:
            opened(root).publish(folder, promote=True)
        children = [
            forked(lambda root=root: prune(opened(root), "lights", keep=1, grace=0)),
            forked(lambda root=root: opened(root).publish(folders[0])),
        ]
        statuses = [ended(child) for child in children]
        assert statuses[1] == 0  # the prune may have found that the history moved on
        assert opened(root).state("lights")[1].candidate == old
        sound(root)


# ------------------------------------------------------------------------------------------------------------ disk full


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, made: dict[str, Path]) -> None:
    root = tmp_path / "store"
    opened(root).publish(made[next(iter(made))], promote=True)
    before = opened(root).state("lights")
    artifact(tmp_path / "large", "w" * 100_000)

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        with pytest.raises(StoreError, match=r"private copy .* cannot be written: .*; free space or set TMPDIR"):
            opened(root).publish(tmp_path / "large", promote=True)

    assert ended(forked(work)) == 0
    assert opened(root).state("lights") == before
    assert len(opened(root).versions("lights")) == 1
    assert list((root / ".parts").iterdir()) == []
    sound(root)
    opened(root).publish(tmp_path / "large", promote=True)
    sound(root)


def test_a_disk_that_is_full_at_any_write_leaves_what_was_there(
    tmp_path: Path, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, root, (one, two, _) = list(made.values()), tmp_path / "store", made
    opened(root).publish(folders[0], promote=True)
    before, fsync = opened(root).state("lights"), os.fsync
    errors: list[str] = []
    for full in range(1, 100):
        count = iter(range(1, 1000))

        def failing(handle: int, full: int = full, count: Any = count) -> None:
            if next(count) >= full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(handle)

        monkeypatch.setattr(os, "fsync", failing)
        try:
            opened(root).publish(folders[1], promote=True)
        except StoreError as error:
            errors.append(str(error))
        else:
            break
        sound(root)
        assert list((root / ".parts").iterdir()) == []
        after = opened(root).state("lights")
        if after != before:  # it was written, and only its folder's own entry could not be synced
            assert after == (
                before[0] + 1,
                msgspec.structs.replace(before[1], stable=two, previous=one),
            )
    assert len(errors) > 5
    assert all("No space left on device; free space" in reason for reason in errors)
    assert opened(root).state("lights")[1].stable == two


# ------------------------------------------------------------------------------------------------- hostile artifacts


def reseal(folder: Path, **changes: object) -> None:
    """Write a manifest with altered fields and the version that belongs to them, as an attacker would."""
    content = msgspec.structs.replace(read_manifest(folder), **changes)
    sealed = msgspec.structs.replace(content, version=version_of(content))
    (folder / MANIFEST).write_bytes(msgspec.json.encode(sealed))


def bomb(folder: Path) -> None:
    with zipfile.ZipFile(folder / "recogniser" / "tagger.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("hashes.npy", bytes(40 << 20))
    seal(folder, read_manifest(folder))


def truncate(folder: Path) -> None:
    weights = folder / "reranker" / "weights.json"
    weights.write_bytes(weights.read_bytes()[:-1])


def climb(folder: Path) -> None:
    (folder.parent / "secret").write_text("secret")
    reseal(folder, files={**read_manifest(folder).files, "../secret": digest(b"secret")})


def link(folder: Path) -> None:
    (folder / "card.json").unlink()
    (folder / "card.json").symlink_to("/etc/hostname")


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (truncate, r"weights\.json: its SHA-256 is"),
    "without a file": (lambda folder: (folder / "card.json").unlink(), "card.json: named in the manifest, but missing"),
    "with one more": (lambda folder: (folder / "more").write_text(""), "more: not named in the manifest"),
    "truncated manifest": (lambda folder: os.truncate(folder / MANIFEST, 100), "no manifest that can be read"),
    "deep manifest": (lambda folder: (folder / MANIFEST).write_text("[" * 10**6), "no manifest that can be read"),
    "other contract": (lambda folder: reseal(folder, contract=CONTRACT + 1), "contract: made for contract"),
    "wrong features": (lambda folder: reseal(folder, features=("other",)), "features: the digest is not"),
    "other version": (
        lambda folder: (folder / MANIFEST).write_bytes(
            msgspec.json.encode(msgspec.structs.replace(read_manifest(folder), version="0" * 12))
        ),
        "version: is 000000000000",
    ),
    "climbing path": (climb, "outside the folder"),
    "link": (link, "a link, expected a regular file"),
    "pipe": (lambda folder: os.mkfifo(folder / "pipe"), "a device or pipe, expected a regular file"),
    "bomb": (bomb, "inflates to 41943040 bytes"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_artifact_is_refused_and_what_serves_goes_on(
    tmp_path: Path, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    spoil, problem = HOSTILE[kind]
    monkeypatch.setattr("arbitrank.store.artifact_checks.MAX_TOTAL", (40 << 20) - 1)
    one, two, _ = made
    root = tmp_path / "store"
    store = opened(root)
    store.publish(made[one], promote=True)
    spoil(made[two])
    with pytest.raises(ArtifactError, match=problem):
        store.publish(made[two], promote=True)

    # Written past `publish`, as anyone with access to the folder can, under the version in its manifest.
    target = root / "lights" / two
    shutil.copytree(made[two], target, symlinks=True, copy_function=_copy)
    with pytest.raises(ArtifactError, match=problem):
        store.promote("lights", two)
    number, state = store.state("lights")
    assert state.stable == one
    assert store.stable("lights")
    store.change("lights", "promote", msgspec.structs.replace(state, stable=two, previous=one), number)
    with pytest.raises(ArtifactError, match=problem):
        store.stable("lights")
    assert any(check.problem and "lights/" in check.what for check in store_checks(store))
    store.rollback("lights")
    assert store.stable("lights")


def _copy(source: str, target: str) -> None:
    if Path(source).is_fifo():
        os.mkfifo(target)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def test_bits_that_flip_anywhere_in_the_store_are_never_served(tmp_path: Path, made: dict[str, Path]) -> None:
    """What loads after a flip is what was published; in a change a flip may hit what only people read."""
    one, two, _ = made
    root, rng = tmp_path / "store", random.Random(0)
    store = opened(root)
    store.publish(made[one], promote=True)
    store.publish(made[two], promote=True)
    expected = msgspec.structs.replace(read_manifest(made[two]), time=0)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for _ in range(300):
        path = rng.choice(files)
        raw = path.read_bytes()
        damaged = bytearray(raw)
        damaged[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            folder = opened(root).stable("lights")
        except ArbitrankError:
            folder = None
        if folder:
            assert msgspec.structs.replace(read_manifest(folder), time=0) == expected
            assert (folder / "reranker" / "weights.json").read_text() == "two"
        path.write_bytes(raw)
    sound(root)


# ------------------------------------------------------------------------------------------------------------ the clock


def test_with_a_clock_that_runs_backwards_the_last_change_counts_and_nothing_is_removed(
    tmp_path: Path, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, two, three = made
    root = tmp_path / "store"
    now, days = time.time(), iter(range(1000))
    monkeypatch.setattr(time, "time", lambda: now - 86400 * next(days))
    for folder in made.values():
        opened(root).publish(folder, promote=True)
    opened(root).rollback("lights")
    times = [change.time for change in opened(root).history("lights")]
    assert times == sorted(times, reverse=True)
    assert opened(root).state("lights")[1].names() == {"stable": two, "previous": three}
    assert prune(opened(root), "lights", keep=1, grace=GRACE) == []  # all of it is of the future
    assert opened(root).versions("lights") == sorted(made)
    sound(root)
