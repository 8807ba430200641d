"""Training of one domain from Python: `arbitrank.train("weather", data="corpus.jsonl")`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from arbitrank.configuration import StatedScales, stated_by_operator
from arbitrank.context_keys import keys_read
from arbitrank.domain import Settings
from arbitrank.errors import InputError
from arbitrank.extras import required
from arbitrank.registry import discover, domain_named, loaded
from arbitrank.store.key_files import open_key
from arbitrank.store.store import Store, open_store

if TYPE_CHECKING:
    from arbitrank.training.outcome import TrainingOutcome


def train(
    domain: str,
    *,
    data: str | Path | None = None,
    store: str | Path | None = None,
    settings: Settings = Settings(),
    promote: bool = False,
    force: bool = False,
    key: str | Path | None = None,
    out: str | Path | None = None,
    scales: StatedScales | None = None,
    negatives: bool | None = None,
    outcomes: bool = False,
) -> TrainingOutcome:
    """Train an installed domain and publish its weights as the store's `candidate`, or with `promote` as `stable`.

    `data` is a file, folder or URL of examples, None for the domain's own. `force` trains although data, code and
    settings are those of the weights that are there. `key` is the private key to sign with. With `out`, the artifact is
    written there and nothing is published. `scales` are of scores that are not probabilities, by domain and field;
    where they state none, the operator's configuration does. `negatives` adds shared ones, or none; None as the domain
    states. With `outcomes`, reactions to answers of a log in `data` teach too. Training runs in a child process. Raises
    `InputError` where the domain is not installed, the extra `train` is not, or the training failed.
    """
    with required("train"):
        from arbitrank.training.backends import local
        from arbitrank.training.datasets import Dataset
        from arbitrank.training.run import TrainingRun, train_domains
    if outcomes and data is None:
        raise InputError("outcomes: no data; expected the folder of a log")
    found = discover()
    domain_named(domain, loaded(found), found)
    signing = open_key(key)
    opened, operator = open_store(store, key=signing), stated_by_operator(scales=scales or {})
    run = TrainingRun(
        store=opened,
        settings=settings,
        data=None if data is None else Dataset(str(data), outcomes=outcomes),
        promote=promote,
        force=force,
        key=signing,
        out=None if out is None else Path(out),
        logs=log_folder(opened),
        scales=operator.scales,
        negatives=negatives,
        context_keys=operator.file.named_keys(),
    )
    if promote and out is None and run.store.audit_set() is not None:
        raise InputError(f"promote: {run.store} has an audit set; train without it, then: arbitrank promote {domain}")
    keys = keys_read(loaded(found).values())
    (outcome,) = train_domains(run, [domain], local(1), known=[one.name for one in found], keys=keys)
    if outcome.kind in ("failed", "killed"):
        raise InputError(f"domain {domain}: not trained: {outcome.reason}")
    return outcome


def log_folder(store: Store) -> Path:
    """The folder of the domains' logs by default: beside a store on this machine, else among the user's logs."""
    if "://" not in str(store):
        return Path(f"{store}.logs")
    from platformdirs import user_log_path

    return user_log_path("arbitrank") / "training"
