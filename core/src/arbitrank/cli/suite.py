"""Verbs on the suites of domains: suite, incident."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from arbitrank.answerlog.joining import view
from arbitrank.answerlog.reader import find
from arbitrank.answerlog.redaction import Words, redactor
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.cli import decision_options, options
from arbitrank.errors import DataError, InputError, os_errors
from arbitrank.outcomes.incidents import incident_of, with_case, without_case
from arbitrank.outcomes.suite_cases import (
    Case,
    CaseNotes,
    cases_of,
    conflict_text,
    conflicts,
    encoded,
    new_cases,
    stored_cases,
)
from arbitrank.outcomes.suite_runs import SuiteRun
from arbitrank.registry import discover, loaded
from arbitrank.regular_files import read_regular
from arbitrank.store.kinds import RESERVED, is_domain
from arbitrank.store.store import Store
from arbitrank.store.suites import KINDS, MAX_SUITE, Contents, SuiteKind, change_suites, read_suites

_words = click.option(
    "--words",
    type=click.Choice(["keep", "hash", "drop"]),
    default="keep",
    help="Treatment of utterances and slot values in the store; what a log does not keep is not restored.",
)
_words_key = click.option("--words-key", type=options.PATH, metavar="FILE", help="The key to hash them with.")


def _domain(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_domain(value):
        raise InputError(f"{value!r} is no domain's name, expected lower-case letters, digits, '_' and '-'")
    return value


@click.command("suite")
@click.argument("domain", required=False, callback=_domain)
@click.option("--must-win", type=options.PATH, metavar="FILE", help="Replace the requests that DOMAIN must win.")
@click.option("--must-not-win", type=options.PATH, metavar="FILE", help="Replace those that it must not win.")
@click.option("--incidents", type=options.PATH, metavar="FILE", help="Replace its incidents.")
@click.option("--remove", metavar="NAME", multiple=True, help="Remove the case of this name. May be repeated.")
@click.option("--out", type=options.PATH, metavar="DIR", help="Write its files here.")
@_words
@_words_key
@decision_options.decisions(clarify=False)
@options.as_json
@options.changed_store
def suite(
    domain: str | None,
    must_win: Path | None,
    must_not_win: Path | None,
    incidents: Path | None,
    remove: tuple[str, ...],
    out: Path | None,
    words: Words,
    words_key: Path | None,
    decisions: DecisionSettings,
    as_json: bool,
    store: Store,
) -> None:
    """Run the cases of DOMAIN's suites, by default of all domains', by what serves now; or change its files.

    A case is a request with its truth, or none, as a line of JSON. A candidate that fails one that the stable version
    passes is not promoted. Cases that demand contrary answers to the same request are marked, and block no promotion.
    Exit status 1 where a case fails, in conflict with another or not.

    Example: arbitrank suite podcasts --must-win favourites.jsonl
    """
    given = {"must_win": must_win, "must_not_win": must_not_win, "incidents": incidents}
    files: dict[SuiteKind, Path] = {kind: path for kind in KINDS if (path := given[kind]) is not None}
    if domain is None and (files or remove or out):
        raise InputError("no DOMAIN; expected one, as in: arbitrank suite podcasts --out DIR")
    if out is not None and (files or remove):
        raise InputError("--out beside a change of the files; expected one of them, first the change")
    redacted = None if words == "keep" else words
    options.needs("--must-win, --must-not-win or --incidents", files, words=redacted, words_key=words_key)
    if domain is not None and (files or remove):
        _change(store, domain, files, remove, words, words_key)
        return
    if domain is not None and out is not None:
        _write(read_suites(store.suite_history(domain), domain), out)
        click.echo(f"written: {out}")
        return
    _run(store, domain, decisions, as_json=as_json)


def _run(store: Store, domain: str | None, decisions: DecisionSettings, *, as_json: bool) -> None:
    from arbitrank.exchanged import suites_now

    cases = stored_cases(store)
    names = {case.domain for case in cases}
    if not as_json and (not cases or (domain is not None and domain not in names)):
        whose = f" of {domain}" if domain else ""
        click.echo(f"no case{whose} in {store}; run: arbitrank suite {domain or 'DOMAIN'} --must-win FILE")
        return
    found = suites_now(store, loaded(discover()), decisions, cases, domain)
    if as_json:
        click.echo(msgspec.json.encode({"cases": found.results, "conflicts": found.notes}))
    else:
        show_suites(found)
    sys.exit(1 if found.failing else 0)


def show_suites(found: SuiteRun) -> None:
    """Print the results of cases: those that fail, the conflicts, and the number of all."""
    for one in found.failing:
        click.echo(f"fails: {one.text}")
    for text in found.notes:
        click.echo(text)
    passing = sum(one.passes for one in found.results)
    click.echo(f"{passing} of {len(found.results)} cases of the suites pass")


def _change(
    store: Store,
    domain: str,
    files: dict[SuiteKind, Path],
    removed: Sequence[str],
    words: Words,
    words_key: Path | None,
) -> None:
    redact = redactor(words, words_key)
    contents: dict[SuiteKind, bytes] = {}
    for kind, path in files.items():
        with os_errors(DataError, f"{path}: cannot be read"):
            content = read_regular(path, MAX_SUITE)
        cases = new_cases(domain, kind, content, str(path))
        if again := [name for name, n in Counter(case.notes.name for case in cases).items() if n > 1]:
            raise InputError(f"{path}: {again[0]!r} names several cases, expected a name of its own for each")
        contents[kind] = b"".join(encoded(case.redacted(redact)) for case in cases)

    if any(contents.values()):
        _require_known(store, domain)
    gone: list[Case] = []

    def change(before: Contents) -> Contents:
        after: Contents = {**before, **contents}
        gone[:] = [case for case in cases_of(domain, after) if case.notes.name in removed]
        for name in removed:
            after = without_case(domain, after, name)
        return after

    made = change_suites(store.suite_history(domain), domain, change, store.key)
    cases = cases_of(domain, read_suites(store.suite_history(domain), domain))
    counts = ", ".join(f"{kind} {sum(case.kind == kind for case in cases)}" for kind in KINDS)
    for case in gone:
        click.echo(f"removed: {case.name}")
    click.echo(f"suites of {domain} in {store}: {counts}" + ("" if made else "; nothing has changed"))
    _note_conflicts(store, domain)


def _require_known(store: Store, domain: str) -> None:
    """Raise `InputError` for a domain that is neither installed here nor has versions in the store.

    Its cases could only fail, and alarm every watch.
    """
    installed = {one.name for one in discover()}
    if domain in installed or store.history(domain):
        return
    known = ", ".join(sorted(installed.union(store.domains()).difference(RESERVED))) or "none"
    raise InputError(f"no domain {domain!r} is installed or in {store} (known: {known}); run: arbitrank domains")


def _note_conflicts(store: Store, domain: str) -> None:
    for one, other in conflicts(stored_cases(store)):
        if domain in (one.domain, other.domain):
            options.note(conflict_text(one, other))


def _write(contents: Contents, folder: Path) -> None:
    with os_errors(InputError, f"{folder}: cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            (folder / f"{kind}.jsonl").write_bytes(contents.get(kind, b""))


@click.command("incident")
@click.argument("id")
@click.option("--log", "folder", type=options.PATH, required=True, help="The log's folder.")
@click.option("--domain", callback=_domain, help="Whose suites get it; default: the one that answered wrongly.")
@click.option("--name", metavar="NAME", help="The case's name.  [default: ID]")
@click.option("--reason", metavar="TEXT", help="Why it is one; kept with it.")
@click.option("--owner", metavar="NAME", help="Who answers for it; kept with it.")
@_words
@_words_key
@options.as_json
@options.changed_store
def incident(
    id: str,
    folder: Path,
    domain: str | None,
    name: str | None,
    reason: str | None,
    owner: str | None,
    words: Words,
    words_key: Path | None,
    as_json: bool,
    store: Store,
) -> None:
    """Make a case of the logged answer ID, which was wrong: no candidate may answer so again.

    Where the log has the truth, the case demands it, else any other answer than the one of then. What the log does not
    keep of the words stays out of the case; session, account and dialogue always do.

    Example: arbitrank incident 3f9a1c07 --log ./log --reason "rain is no song" --owner weather-team
    """
    line = find(view(folder), id)
    if line is None:
        raise InputError(f"{folder}: no request with the id {id!r}; run: arbitrank log status {folder}")
    today = time.strftime("%Y-%m-%d", time.gmtime(line.time))
    try:
        notes = CaseNotes(name=name or id, date=today, reason=reason, owner=owner)
    except ValueError as error:
        raise InputError(f"{error}; name the case: --name NAME") from None
    redact = redactor(words, words_key)
    # Before it is made a case, which of words that will be recognised again holds no hypotheses.
    case = incident_of(line if redact is None else redact.line(line), notes, domain)
    _require_known(store, case.domain)
    made = change_suites(
        store.suite_history(case.domain), case.domain, lambda before: with_case(case, before), store.key
    )
    _made(case, made is not None, store, as_json=as_json)


def _made(case: Case, new: bool, store: Store, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode({"domain": case.domain, "kind": case.kind, "name": case.notes.name, "new": new}))
    else:
        demand = "its truth" if case.truth is not None else "any other answer"
        click.echo(f"{case.name} in {store}: demands {demand}" + ("" if new else "; it was there already"))
    _note_conflicts(store, case.domain)
