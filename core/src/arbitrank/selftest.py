"""The self-test of an artifact: whether it loads and keeps the contract's promises, tried in a process of its own.

A damaged text can crash the library that reads it, and a model can hang or take all memory; then it is the child that
dies. `python -m arbitrank.selftest FOLDER DOMAIN` is that child; it says what is wrong in JSON, or null.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from arbitrank.arbitration import dispatch
from arbitrank.child import environment, how_ended, last_line, limit
from arbitrank.domain import Domain, Model
from arbitrank.errors import ArbitrankError, ArtifactError, PluginError, describe
from arbitrank.registry import Found, Loaded, discover
from arbitrank.shortlist.as_domain import ShortlistDomain
from arbitrank.store.artifact_checks import verified
from arbitrank.store.kinds import SHORTLIST
from arbitrank.store.versions import wrong_name
from arbitrank.values import Context, Hypothesis, Request, Slot

TIMEOUT = 60.0
"""Seconds that a self-test may take."""

MEMORY = 4 << 30
"""Bytes of address space that a self-test may take."""

_MANY = 100


def selftest(folder: Path, domain: str, timeout: float = TIMEOUT, memory: int = MEMORY) -> str | None:
    """What is wrong with an artifact of an installed domain, None where it may serve. Never raises."""
    with tempfile.TemporaryFile() as complaints:
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", "arbitrank.selftest", str(folder), domain, str(memory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=environment(),
                start_new_session=True,
            )
        except OSError as error:
            return f"no process to try it in: {error}"
        try:
            verdict, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return f"not done after {timeout:g} s"
        finally:
            _end(child)
        complaints.seek(0)
        last = last_line(complaints.read()[-4096:])
    if child.returncode == 0:
        try:
            return msgspec.json.decode(verdict, type=str | None)
        except ValueError:
            return "the process that tried it said nothing that can be read"
    return f"the process that tried it {how_ended(child.returncode)}{last}"


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started: they are a group of their own, which is there until the child is read."""
    if child.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.stdout:
        child.stdout.close()


def problem(folder: Path, domain: Domain) -> str | None:
    """What is wrong with an artifact, tried in this process."""
    try:
        manifest = verified(folder)
        if wrong := wrong_name(manifest, domain.name):
            raise ArtifactError(wrong)
        model = domain.load(folder)
        if not isinstance(model, Model):
            raise PluginError(f"load returned {type(model).__name__}, promised a Model")
        return _broken_promise(domain, model)
    except ArbitrankError as error:
        return str(error)
    except MemoryError:
        return "it takes more memory than a self-test may"
    except Exception as error:  # the plugin's code, or the artifact that it reads, may raise anything
        return describe(error)


def _broken_promise(domain: Domain, model: Model) -> str | None:
    asked = list(probes(domain))
    first = [_answer(domain.name, model, request) for request in asked]
    again = [_answer(domain.name, model, request) for request in reversed(asked)][::-1]
    for request, answer, other in zip(asked, first, again, strict=True):
        if isinstance(answer, str):
            return f"{_named(request)}: {answer}"
        if answer != other:
            return f"{_named(request)}: another answer when asked again, promised the same in any order"
    return None


def probes(domain: Domain) -> Iterator[Request]:
    """Requests that a model has to answer: what it is made for, nothing, too much, and what nobody should send."""
    name = domain.name
    phrases = [phrase for skill in domain.skills for phrase in skill.phrases][:20]
    contexts: tuple[Context, ...] = (
        {},
        {"device": "tv", "has_screen": True, f"preference.{name}": 1.0, "previous_domain": name},
    )
    for words in (
        *phrases,
        "",
        " ",
        "play one two three",
        "\u0000\ud7ff\U0001f600 ünï",
        "x" * 10_000,
        "一 二 三 " * 300,
    ):
        yield Request(utterance=words, context=dict(contexts[1]))
    odd = {"device": 5, "has_screen": "yes", f"preference.{name}": "much", "locale": None, "nested": {"a": [1, {}]}}
    for readings in _readings(name):
        for context in (*contexts, odd):
            yield Request(utterance="play one", context=dict(context), hypotheses=readings)
    yield Request(hypotheses=(Hypothesis(name, "Probe"),))


def _readings(name: str) -> Iterator[tuple[Hypothesis, ...]]:
    slots = (Slot("name", "one", 0.5), Slot("other", "two"))
    yield (Hypothesis(name, "Probe"),)
    yield (Hypothesis(name, "Probe", 0.7, 0.9, slots, 0.8, features={"unheard_of": 1e300, "negative": -1e300}),)
    for p in (0.0, 1.0, 5e-324):
        yield tuple(Hypothesis(name, f"Probe{k}", p, p, (Slot("name", "one", p),), p) for k in range(3))
    yield (Hypothesis(name, "Probe", 0.5), Hypothesis(name, "Probe", None, 0.5), Hypothesis(name, "P", slots=slots))
    yield tuple(Hypothesis(name, f"Probe{k % 7}", k / _MANY, 1.0 - k / _MANY, slots * (k % 3)) for k in range(_MANY))


def _answer(name: str, model: Model, request: Request) -> object:
    """What can be compared of the answer, or why there is none."""
    outcome = dispatch.ask(name, model, request, request.hypotheses)
    if isinstance(outcome, dispatch.Failed):
        return outcome.reason
    scores = outcome.scores
    if not np.isfinite(scores.right).all():
        return "scores that are not finite"
    return [*outcome.hypotheses], scores.mine, scores.right.tolist()


def _named(request: Request) -> str:
    if request.hypotheses is not None:
        return f"a request with {len(request.hypotheses)} hypotheses"
    words = request.utterance or ""
    return f"the words {words[:20]!r}{'…' if len(words) > 20 else ''}"


def main(arguments: Sequence[str]) -> None:
    """Try an artifact: its folder, the domain's name, and the bytes of address space that may be used."""
    folder, name, memory = arguments
    limit(int(memory))
    # What a plugin prints is no verdict.
    verdict = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    wrong = tried(Path(folder), name, {} if name == SHORTLIST else {one.name: one for one in discover()})
    verdict.write(msgspec.json.encode(wrong))
    verdict.close()
    sys.stdout.flush()
    os._exit(0)  # nothing of the plugin's is to run or hang now


def tried(folder: Path, name: str, found: Mapping[str, Found]) -> str | None:
    """What is wrong with an artifact of what is installed, or of the Shortlister, tried in this process."""
    if name == SHORTLIST:
        return problem(folder, ShortlistDomain())
    one = found.get(name)
    if isinstance(one, Loaded):
        return problem(folder, one.domain)
    return f"domain {name!r} cannot be loaded: {one.reason if one else 'it is not installed'}; run: arbitrank domains"


if __name__ == "__main__":
    main(sys.argv[1:])
