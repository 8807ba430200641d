"""Signatures: what isn't signed by its domain's team is refused at publish, promote and load."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from fakes import FakeDomain, FakeModel

from arbitrank.arbitration.arbitrator import Broken, Serving
from arbitrank.errors import ArtifactError, InputError
from arbitrank.store.artifact import MANIFEST, Manifest, encode_manifest, read_manifest, seal, version_of
from arbitrank.store.artifact_checks import verified
from arbitrank.store.loading import load_domains
from arbitrank.store.signing import Keys, keygen, open_key, open_keys, sign, signed
from arbitrank.store.store import Store, open_store


def fake(shipped: Path | None = None) -> FakeDomain:
    """A domain that loads any artifact."""
    return FakeDomain("lights", shipped, FakeModel("lights"))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A sealed artifact, unsigned."""
    folder = tmp_path / "made"
    (folder / "reranker").mkdir(parents=True)
    (folder / "reranker" / "weights.json").write_text("{}")
    seal(folder, Manifest(domain="lights", package="p", package_version="1"))
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """The trust of a service: one key each of two domains; their private halves lie beside, in `private`."""
    trusted, private = tmp_path / "keys", tmp_path / "private"
    trusted.mkdir()
    private.mkdir()
    for domain in ("lights", "doors"):
        _, public, _ = keygen(private / domain)
        public.rename(trusted / public.name)
    return Keys(trusted)


@pytest.fixture
def store(tmp_path: Path, keys: Keys) -> Store:
    return open_store(tmp_path / "store", keys, {})


@pytest.fixture
def signing(tmp_path: Path, keys: Keys, team: Any) -> Store:
    """The same store, of a user who has the domain's private key."""
    return open_store(tmp_path / "store", keys, {}, key=team)


@pytest.fixture
def team(tmp_path: Path, keys: Keys) -> Any:
    return open_key(tmp_path / "private" / "lights.key")


@pytest.fixture
def other_team(tmp_path: Path, keys: Keys) -> Any:
    return open_key(tmp_path / "private" / "doors.key")


def test_a_pair_of_keys_is_written_once_and_only_its_owner_reads_the_private_one(tmp_path: Path) -> None:
    private, public, identity = keygen(tmp_path / "team")
    assert (private.name, public.name, len(identity)) == ("team.key", "team.pub", 16)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"BEGIN PRIVATE KEY" in private.read_bytes()
    assert b"BEGIN PUBLIC KEY" in public.read_bytes()
    before = private.read_bytes()
    with pytest.raises(InputError, match="never overwritten"):
        keygen(tmp_path / "team")
    assert private.read_bytes() == before
    with pytest.raises(InputError, match="cannot be written"):
        keygen(tmp_path / "none" / "team")


def test_to_sign_changes_neither_version_nor_files(made: Path, team: Any, keys: Keys) -> None:
    before = read_manifest(made)
    after = sign(made, team)
    assert after == read_manifest(made) == verified(made, keys)
    assert msgspec.structs.replace(after, signature=msgspec.UNSET) == before
    assert version_of(after) == after.version == before.version
    assert sign(made, team) == after  # Ed25519 signs the same the same


def test_what_the_domains_key_signed_is_published_promoted_and_loaded(store: Store, made: Path, team: Any) -> None:
    store.publish(made, key=team, promote=True)
    assert not read_manifest(made).signature  # the copy alone is signed
    model = load_domains({"lights": fake()}, store)["lights"]
    assert isinstance(model, Serving)


def refusals(store: Store, made: Path, signing: Store) -> list[str]:
    """Why an artifact is refused at publish, at promote and at load, its bytes brought past publish and promote."""
    reasons = []
    with pytest.raises(ArtifactError) as refused:
        store.publish(made)
    reasons.append(str(refused.value))
    assert store.domains() == []
    blind = open_store(str(store), environment={})
    version = blind.publish(made).version
    signing.adopt("lights")  # the change, not the artifact
    with pytest.raises(ArtifactError) as refused:
        store.promote("lights", version)
    reasons.append(str(refused.value))
    blind.promote("lights", version)
    assert isinstance(load_domains({"lights": fake()}, blind)["lights"], Serving)
    model = load_domains({"lights": fake()}, store)["lights"]
    assert isinstance(model, Broken)
    assert "change 3 is unsigned" in model.reason
    signing.adopt("lights")
    model = load_domains({"lights": fake()}, store)["lights"]
    assert isinstance(model, Broken)
    reasons.append(model.reason)
    return reasons


def test_an_unsigned_artifact_is_refused_everywhere(store: Store, made: Path, signing: Store) -> None:
    for reason in refusals(store, made, signing):
        assert "signature: unsigned, expected a signature by" in reason
        assert "arbitrank sign PATH --key FILE" in reason


def test_another_domains_signature_is_refused_everywhere(
    store: Store, made: Path, other_team: Any, signing: Store
) -> None:
    sign(made, other_team)
    for reason in refusals(store, made, signing):
        assert "expected one of lights" in reason


def test_what_was_altered_since_is_refused_everywhere(store: Store, made: Path, team: Any, signing: Store) -> None:
    """Files, digests and version are all made to fit; the signature is the only thing that doesn't."""
    signature = sign(made, team).signature
    (made / "reranker" / "weights.json").write_text('{"better": true}')
    altered = msgspec.structs.replace(seal(made, read_manifest(made)), signature=signature)
    (made / MANIFEST).write_bytes(encode_manifest(altered))
    verified(made)
    for reason in refusals(store, made, signing):
        assert "altered since" in reason


@pytest.mark.parametrize("change", [{"time": 1}, {"domain": "doors"}, {"seed": 5}, {"features": ("a",)}])
def test_every_field_is_signed(made: Path, team: Any, keys: Keys, change: dict[str, Any]) -> None:
    manifest = signed(read_manifest(made), team)
    assert keys.problem(manifest) is None
    assert keys.problem(msgspec.structs.replace(manifest, **change))


@pytest.mark.parametrize("value", ["", "no base64!", "AAAA", "é"])
def test_a_signature_that_is_none_is_refused(made: Path, team: Any, keys: Keys, value: str) -> None:
    manifest = signed(read_manifest(made), team)
    assert manifest.signature
    broken = msgspec.structs.replace(manifest.signature, value=value)
    assert "altered since" in str(keys.problem(msgspec.structs.replace(manifest, signature=broken)))


def test_weights_that_a_package_ships_are_held_to_the_same(store: Store, made: Path, team: Any) -> None:
    model = load_domains({"lights": fake(made)}, store)["lights"]
    assert isinstance(model, Broken)
    assert "unsigned" in model.reason
    sign(made, team)
    assert isinstance(load_domains({"lights": fake(made)}, store)["lights"], Serving)


def test_a_domain_without_a_key_is_refused_where_keys_are_asked_for(store: Store, made: Path, keys: Keys) -> None:
    (keys.folder / "lights.pub").unlink()
    with pytest.raises(ArtifactError, match=r"no key of lights in .*, expected lights\.pub"):
        store.publish(made)


def test_keys_are_rotated_by_a_second_one_beside_the_first(
    tmp_path: Path, store: Store, made: Path, keys: Keys, team: Any
) -> None:
    version = store.publish(made, key=team, promote=True).version
    private, public, _ = keygen(tmp_path / "private" / "next")
    following = open_key(private)
    assert following
    public.rename(keys.folder / "lights.2.pub")
    verified(store.fetch("lights", version), keys)  # the old one still counts
    store.publish(made, key=following)  # the same version, signed again
    (keys.folder / "lights.pub").unlink()
    verified(store.fetch("lights", version), keys)
    assert store.versions("lights") == [version]
    with pytest.raises(ArtifactError, match="signed by key"):
        store.publish(made, key=team)


def test_to_publish_unsigned_again_takes_no_signature_away(tmp_path: Path, store: Store, made: Path, team: Any) -> None:
    version = store.publish(made, key=team).version
    open_store(str(store), environment={}).publish(made)
    verified(store.fetch("lights", version), store.keys)


def test_the_keys_are_those_named_else_the_environments(tmp_path: Path, made: Path) -> None:
    assert open_keys(None, {}) is None
    with pytest.raises(InputError, match=r"no key in it, .*; expected DOMAIN\.pub"):
        open_keys(tmp_path, {})
    keygen(tmp_path / "lights")
    for found in (open_keys(tmp_path, {"ARBITRANK_KEYS": "/x"}), open_keys(None, {"ARBITRANK_KEYS": str(tmp_path)})):
        assert found
        assert found.folder == tmp_path
    assert open_store(tmp_path, environment={"ARBITRANK_KEYS": str(tmp_path)}).keys
    assert open_key(None, {}) is None
    with pytest.raises(InputError, match=r"keys .*: cannot be read"):
        Keys(tmp_path / "none").problem(read_manifest(made))


def test_a_key_that_is_none_or_of_another_kind_is_refused(tmp_path: Path, made: Path, keys: Keys) -> None:
    curve = generate_private_key(SECP256R1())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (tmp_path / "curve.key").write_bytes(curve.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (tmp_path / "none.key").write_text("none")
    with pytest.raises(InputError, match="expected one for Ed25519"):
        open_key(tmp_path / "curve.key")
    with pytest.raises(InputError, match="no key that can be read, expected one for Ed25519; run: arbitrank keygen"):
        open_key(None, {"ARBITRANK_SIGNING_KEY": str(tmp_path / "none.key")})
    with pytest.raises(InputError, match=r"missing\.key: cannot be read"):
        open_key(tmp_path / "missing.key")
    public = curve.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    for content, problem in ((public, "expected one for Ed25519"), (b"none", "no key that can be read")):
        (keys.folder / "lights.pub").write_bytes(content)
        with pytest.raises(InputError, match=problem):
            keys.problem(read_manifest(made))


def test_a_folder_that_cannot_be_written_is_not_signed(made: Path, team: Any) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    made.chmod(0o500)
    with pytest.raises(ArtifactError, match="cannot be written"):
        sign(made, team)
