"""Watch over a service's log: false alarms in quiet weeks, and the delay until a fault is found.

A simulated service answers 2,000 requests a day, of which 10 % have a truth, for a week before and a week that is
watched by an hourly cron (here every twelve hours). Six domains differ in size; their recognisers' confidences are
noisy, their claims calibrated. Shares follow the hour and the weekday, at random from week to week. In weeks with a
fault it begins on the fourth day, at noon.

Quiet weeks: steady; cycles (weekends double a domain's share); growing (traffic grows by 10 % a day); shifted (a
domain's share triples for good). Faults of one domain: sharpened (log-odds × 2.2 + 3.0, the trial's), sharpened
confidences or only claims, dulled (× 0.4), biased (+ 2), a lost feature, and a neighbour's new version that is worse.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from arbitrank.probability import sigmoid
from arbitrank.values import Ranked, Truth
from arbitrank.watch.collector import Collector
from arbitrank.watch.judging import judge
from arbitrank.watch.rows import DomainNumbers, WatchedRow
from benchmarks.common import note, show, table

NAME = "watch"
DAY, A_DAY, LABELLED, STEP = 86_400.0, 2_000, 0.10, 21_600.0
DOMAINS = {"music": 0.26, "video": 0.20, "books": 0.16, "weather": 0.16, "timer": 0.12, "recipes": 0.06}
ALIKE = {"music": "video", "video": "music", "books": "recipes", "recipes": "books"}
UNCLEAR = 0.3  # share of requests of a domain with a neighbour that both may want
FAULTY = "video"
START = 20_000 * DAY  # a Thursday


@dataclass(frozen=True)
class World:
    """What traffic and domains are like at a time: shares, requests a day, and the fault of one domain."""

    shares: Mapping[str, float]
    a_day: float = A_DAY
    slope: float = 1.0
    shift: float = 0.0
    claims: tuple[float, float] = (1.0, 0.0)
    feature: bool = True
    version: str = "v1"


Week = Callable[[World, float], World]
"""The world at a time since the beginning of the watched week, in days, from that on a usual day."""


def _after(change: Callable[[World], World]) -> Week:
    return lambda world, day: change(world) if day >= 3.5 else world


def _shares(world: World, **factors: float) -> World:
    return replace(world, shares={name: share * factors.get(name, 1.0) for name, share in world.shares.items()})


QUIET: dict[str, Week] = {
    "steady": lambda world, day: world,
    "cycles": lambda world, day: _shares(world, music=2.0, weather=0.5) if int(day) % 7 in (2, 3) else world,
    "growing": lambda world, day: replace(world, a_day=A_DAY * 1.1 ** max(0.0, day + 7)),
    "shifted": _after(lambda world: _shares(world, video=3.0)),
}
FAULTS: dict[str, Week] = {
    "sharpened": _after(lambda world: replace(world, slope=2.2, shift=3.0)),
    "sharpened claims": _after(lambda world: replace(world, claims=(2.2, 3.0))),
    "dulled": _after(lambda world: replace(world, slope=0.4)),
    "biased": _after(lambda world: replace(world, shift=2.0)),
    "feature lost": _after(lambda world: replace(world, feature=False, slope=0.8, shift=-0.5)),
    "worse version": _after(lambda world: replace(world, claims=(2.2, 3.0), version="v2")),
}


def rows(week: Week, rng: np.random.Generator, day: float, world: World, own: bool) -> Iterator[WatchedRow]:
    """The rows of six hours from `day` on, in days since the watched week began."""
    now = week(world, day)
    hour = (day % 1.0) * 24
    n = rng.poisson(now.a_day / 4 * (1.0 + 0.6 * np.sin((hour - 9) / 24 * 2 * np.pi)))
    names = [*DOMAINS, None]
    share = np.array([*now.shares.values(), 0.04])
    share = share * np.exp(0.15 * rng.normal(size=len(share)))  # every quarter of a day differs
    owners = rng.choice(len(names), n, p=share / share.sum())
    times = np.sort(rng.uniform(0.0, STEP, n)) + START + day * DAY
    unclear = rng.random(n) < UNCLEAR  # a neighbour's requests are easily mistaken, and one's own easily missed
    z = {}
    for k, name in enumerate(DOMAINS):
        own_mean, other_mean = np.where(unclear & (name in ALIKE), 0.6, 2.6), np.full(n, -3.4)
        if name in ALIKE:
            other_mean[unclear & (owners == list(DOMAINS).index(ALIKE[name]))] = -0.4
        z[name] = np.where(owners == k, own_mean, other_mean) + 1.3 * rng.normal(size=n)
    claims = {name: sigmoid(_calibrated(name, each, own_fault(now, name))) for name, each in z.items()}
    for i in range(n):
        yield _row(i, owners, names, times, z, claims, now, rng, own)


def own_fault(world: World, name: str) -> World:
    """The world as one domain is in it: whole, but for the faulty one."""
    return world if name == FAULTY else World(world.shares)


def _calibrated(name: str, z: np.ndarray[Any, Any], world: World) -> np.ndarray[Any, Any]:
    """Log-odds of P(mine) as learned from usual days, from the recogniser's log-odds as they are now."""
    x = world.slope * z + world.shift
    share = DOMAINS[name]
    alike = UNCLEAR * DOMAINS[ALIKE[name]] / (1.0 - share) if name in ALIKE else 0.0
    missed = UNCLEAR if name in ALIKE else 0.0
    other = (1.0 - alike) * _density(x, -3.4) + alike * _density(x, -0.4)
    mine = (1.0 - missed) * _density(x, 2.6) + missed * _density(x, 0.6)
    slope, shift = world.claims
    return slope * (np.log(mine / other) + np.log(share / (1.0 - share))) + shift


def _density(x: np.ndarray[Any, Any], mean: float) -> np.ndarray[Any, Any]:
    return np.asarray(np.exp(-((x - mean) ** 2) / (2 * 1.3**2)) + 1e-30)


def _row(
    i: int, owners: Any, names: list[str | None], times: Any, z: Mapping[str, Any], claims: Mapping[str, Any],
    world: World, rng: np.random.Generator, own: bool,
) -> WatchedRow:  # fmt: skip
    mine = {name: float(each[i]) for name, each in claims.items()}
    odds = {name: p / (1.0 - p + 1e-9) for name, p in mine.items()}
    total = 1.0 + sum(odds.values())
    chances = {name: each / total for name, each in odds.items()}
    order = sorted(chances, key=lambda name: -chances[name])
    domains = {}
    for name in DOMAINS:
        one = own_fault(world, name)
        best = Ranked(name, "Do", (), 0.0, chances[name], 0.95 * chances[name], one.version)
        features = ("catalogue",) if one.feature and name == FAULTY else ()
        p = mine[name] if own else chances[name]
        confidence = float(sigmoid(one.slope * z[name][i] + one.shift))
        domains[name] = DomainNumbers(confidence, 0.9, p, 0.95 * p, own, one.version, best, features)
    head = order[0] if sum(chances.values()) > 0.5 else None
    wanted = tuple(name for name, p in mine.items() if p >= 0.5)
    row = WatchedRow(f"{times[i]}-{i}", float(times[i]), domains, chances, head, wanted, {"device": "tv"})
    if rng.random() < LABELLED:
        owner = names[owners[i]]
        row.learn(Truth(owner, "Do" if rng.random() < 0.95 else "Other"))
    return row


@dataclass
class Outcome:
    """The result of one week: the days from the fault to its alarm, and alarms of others or of no fault."""

    delay: float | None = None
    false: tuple[str, ...] = ()


def watched(week: Week, seed: int, *, own: bool, fault: bool, a_day: float = A_DAY) -> Outcome:
    """A week that is watched every twelve hours, the two latest days against the week before these."""
    rng = np.random.default_rng(seed)
    world = World({name: share * float(np.exp(0.2 * rng.normal())) for name, share in DOMAINS.items()}, a_day)
    collected, outcome = Collector(seed), Outcome()
    for step in range(-28, 28):
        day = step / 4
        for row in rows(week, rng, day, world, own):
            collected.row(row)
        if day < -3 or step % 2 == 0:
            continue
        report = judge(collected, collected.latest - 2 * DAY, {})
        named = {one.domain for one in report.alarms}
        named |= {FAULTY for text in report.notes if text.startswith(f"{FAULTY} has a new version")}
        if fault and day + 0.25 > 3.5:
            if FAULTY in named and outcome.delay is None:
                outcome.delay = day + 0.25 - 3.5
            named -= {FAULTY}
        outcome.false = (*outcome.false, *sorted(named - set(outcome.false)))
    return outcome


def figures(weeks: int, each: int, own: bool) -> dict[str, Any]:
    """False alarms of quiet weeks, shared among their kinds, and delays of faults in days."""
    found: dict[str, Any] = {}
    false = 0
    for k, (name, week) in enumerate(QUIET.items()):
        several = [watched(week, 1000 * k + seed, own=own, fault=False) for seed in range(weeks // len(QUIET))]
        alarms = sum(len(one.false) for one in several)
        found[f"false_alarms_{name}"] = alarms
        false += alarms
        note(f"{name}: {alarms} false alarms in {len(several)} weeks")
    found["quiet_weeks"], found["false_alarms"] = weeks // len(QUIET) * len(QUIET), false
    for k, (name, week) in enumerate(FAULTS.items()):
        several = [watched(week, 5000 + 1000 * k + seed, own=own, fault=True) for seed in range(each)]
        key = name.replace(" ", "_")
        delays = [one.delay for one in several if one.delay is not None]
        found[f"{key}_found"] = len(delays) / len(several)
        found[f"{key}_days"] = float(np.median(delays)) if delays else None
        found[f"{key}_worst_days"] = max(delays) if len(delays) == len(several) else None
        found[f"{key}_others_blamed"] = sum(len(one.false) for one in several)
        note(f"{name}: found in {len(delays)} of {len(several)} weeks, after {found[f'{key}_days']} days")
    return found


def _print(found: Mapping[str, Any]) -> None:
    rows = [[name, str(found[f"false_alarms_{name}"]), "", "", ""] for name in QUIET]
    for name in FAULTS:
        key = name.replace(" ", "_")
        cells = [
            f"{100 * found[f'{key}_found']:.0f} %",
            *(str(found[f"{key}_{each}"]) for each in ("days", "worst_days")),
        ]
        rows.append([name, str(found[f"{key}_others_blamed"]), *cells])
    table(["week", "false alarms", "found", "days until found", "the longest"], rows)


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few weeks; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--weeks", type=int, default=100, help="quiet weeks (%(default)s)")
    parser.add_argument("--each", type=int, default=10, help="weeks of each fault (%(default)s)")
    parser.add_argument(
        "--answers", action="store_true", help="a log without the domains' own claims, as older ones are"
    )
    chosen = parser.parse_args(argv)
    weeks, each = (4, 1) if chosen.quick else (chosen.weeks, chosen.each)
    show(NAME, chosen, figures(weeks, each, not chosen.answers), _print)


if __name__ == "__main__":
    main()
