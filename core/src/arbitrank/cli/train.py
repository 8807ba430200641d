"""arbitrank train: train domains and publish their weights."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from arbitrank.cli import options
from arbitrank.cli.progress import shown
from arbitrank.domain import Domain, Settings
from arbitrank.errors import ArbitrankError, ArtifactError, InputError, said
from arbitrank.feedback.reading import read_truths
from arbitrank.learn.lightgbm import lightgbm, missing
from arbitrank.registry import Found, Loaded, discover
from arbitrank.store.build import Built, build
from arbitrank.store.signing import open_key, sign
from arbitrank.store.store import Store
from arbitrank.values import Example
from arbitrank.wire import BadLine

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@click.command("train")
@click.argument("names", metavar="[DOMAIN …]", nargs=-1)
@click.option(
    "--data", metavar="PATH", help="A corpus or hypotheses file, or a log's folder; default: each domain's own data."
)
@click.option(
    "--model",
    type=click.Choice(["factored", "loglinear", "boosted", "corrected", "auto"]),
    default="factored",
    show_default=True,
)
@click.option(
    "--loss",
    type=click.Choice(["r1", "r2", "r3"]),
    help="Of a log-linear (default r3) or boosted model (default r2, the cross-entropy).",
)
@click.option(
    "--form",
    type=click.Choice(["sigmoid", "softmax", "null"]),
    default="null",
    show_default=True,
    help="Of a log-linear model.",
)
@click.option(
    "--kept",
    type=options.Share(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="The share of other domains' traffic that is in the data, where it was sampled.",
)
@options.seed
@options.jobs
@options.store
@options.signing_key
@click.option("--promote", is_flag=True, help="Make the new version stable at once, where the store has no audit set.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the artifact of one domain here, and publish nothing."
)
def command(
    names: tuple[str, ...],
    data: str | None,
    model: Literal["factored", "loglinear", "boosted", "corrected", "auto"],
    loss: Literal["r1", "r2", "r3"] | None,
    form: Literal["sigmoid", "softmax", "null"],
    kept: float,
    seed: int,
    jobs: int,
    store: Store,
    key: str | None,
    promote: bool,
    out: Path | None,
) -> None:
    """Train each DOMAIN (all installed ones by default) and publish its weights as `candidate`.

    One domain's training touches nothing of another's. The same data, code and seed give the same version. The exit
    status is 2 where a domain could not be trained.
    """
    chosen = _chosen(discover(), names)
    if out and len(chosen) != 1:
        raise InputError(
            f"--out: {len(chosen)} domains are to be trained, promised one; name it: arbitrank train DOMAIN --out …"
        )
    if promote and not out and store.audit_set() is not None:
        raise InputError(
            f"--promote: {store} has an audit set, by which the gate judges what becomes stable; "
            f"run without it, then: arbitrank promote {chosen[0].name if len(chosen) == 1 else 'DOMAIN'}"
        )
    if model in ("boosted", "corrected"):
        lightgbm()  # what is missing is better told before the training than after it
    if model == "auto" and (absent := missing()):
        print(f"arbitrank: boosted models are left out of the choice: {absent}", file=sys.stderr)
    examples = _read(data) if data else None
    settings = Settings(seed=seed, model=model, loss=loss, form=form, kept=kept, jobs=jobs)
    private = open_key(key)
    failed = [one.name for one in chosen if not _train(one, examples, settings, store, private, promote, out)]
    if failed:
        raise InputError(f"not trained: {', '.join(failed)}; the reasons are above")


def _chosen(found: Sequence[Found], names: Sequence[str]) -> list[Loaded]:
    ready = {one.name: one for one in found if isinstance(one, Loaded)}
    for name in names:
        if name not in ready:
            known = ", ".join(ready) or "none"
            raise InputError(f"domain {name!r} is not loaded (loaded: {known}); run: arbitrank domains")
    return [ready[name] for name in dict.fromkeys(names or ready)]


def _read(path: str) -> list[Example]:
    examples, bad = [], 0
    for line in read_truths(path):
        if isinstance(line, BadLine):
            bad += 1
            print(f"arbitrank: {line.where}: {line.reason}", file=sys.stderr)
        else:
            examples.append(line)
    if not examples and Path(path).is_dir():
        raise InputError(
            f"{path}: nobody told the truth of a request in this log ({bad} bad lines); see docs/operating.md"
        )
    if not examples:
        raise InputError(f"{path}: no example that can be read ({bad} bad lines); see docs/formats.md")
    return examples


def _train(
    one: Loaded,
    examples: list[Example] | None,
    settings: Settings,
    store: Store,
    key: Ed25519PrivateKey | None,
    promote: bool,
    out: Path | None,
) -> bool:
    domain, package = one.domain, (one.source.distribution, one.source.version)
    try:
        data = examples if examples is not None else list(domain.examples())
        with shown(one.name) as progress, tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
            target = out or Path(folder) / "artifact"
            base = _base(one.name, store) or domain.shipped
            built = build(domain, package, data, target, replace(settings, progress=progress), base=base)
            if key:
                sign(target, key)
            if not out:
                store.publish(target, promote=promote)
    except ArbitrankError as error:
        print(f"arbitrank: {error}", file=sys.stderr)
        return False
    # `examples` and `train` are the plugin's code; what they raise ends the training of that one domain.
    except Exception as error:
        print(f"arbitrank: domain {one.name}: its training failed: {said(error)}", file=sys.stderr)
        return False
    _say(domain, built, str(out) if out else f"{'stable' if promote else 'candidate'} in {store}")
    return True


def _base(name: str, store: Store) -> Path | None:
    """The artifact that serves. One that is damaged must not keep its domain from being trained anew."""
    try:
        return store.stable(name)
    except ArtifactError as error:
        print(f"arbitrank: {error}; training goes on without it", file=sys.stderr)
        return None


def _say(domain: Domain, built: Built, where: str) -> None:
    card, manifest = built.card, built.manifest
    click.echo(
        f"{domain.name} {manifest.version}: {manifest.rows} examples, {settings_of(built)}; on {card.n} kept back: "
        f"NLL {card.nll:.3f}, ECE {100 * card.ece:.1f} % (floor {100 * card.ece_floor:.1f} %); {where}"
    )


def settings_of(built: Built) -> str:
    """The model of what was built, in words."""
    manifest = built.manifest
    return f"{manifest.model} {manifest.loss}".strip()
