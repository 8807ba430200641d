"""Alarms of a watch: which domain caused them, and the commands that help; what several share is no domain's fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from arbitrank.watch.drift import Drift
from arbitrank.watch.outcomes import Claims
from arbitrank.watch.report import Alarm, DomainWatch

_COMMON, _LEAST_COMMON = 0.75, 3  # share and number of the domains from which on a drift is that of the requests
_NUMBERS = {"confidence": "domain confidence", "intent": "intent confidence", "mine": "P(mine)"}
_NAMED = 3  # neighbours that a sentence names
_SHARP = 1.15  # slope of log-odds from which on they are called sharper
_MORE = 1.25  # ratio of wins from which on it is told
_ENOUGH = 50  # requests of known truth from which on a recalibration can be fitted


@dataclass(frozen=True)
class Commands:
    """The next commands, with the names and paths of this log and store."""

    log: str = "LOG"
    since: str = "2d"
    store: str | None = None

    @property
    def _at(self) -> str:
        return f" --store {self.store}" if self.store else ""

    def shrink(self, domain: str) -> str:
        """Fit a recalibration."""
        return f"arbitrank shrink {domain} --on {self.log} --since {self.since}{self._at}"

    def shrink_by_outcomes(self, domain: str) -> str:
        """Fit a recalibration to outcomes."""
        return f"arbitrank shrink {domain} --outcomes --on {self.log} --since {self.since}{self._at}"

    def shrink_by(self, domain: str, drift: Drift) -> str:
        """Undo a drift of P(mine)."""
        temperature, shift = max(1.0, drift.slope), -drift.shift / max(1.0, drift.slope)
        return f"arbitrank shrink {domain} --temperature {temperature:.2f} --shift {shift:.2f}{self._at}"

    def train(self, domain: str) -> str:
        """Train from the log of what is watched."""
        return f"arbitrank train {domain} --data {self.log} --since {self.since}{self._at}"

    def undo(self, domain: str, watched: DomainWatch | None) -> list[str]:
        """Return to what served before, where that changed in the log and can be undone."""
        if watched is None or watched.since is None or watched.undo is None:
            return []
        verb = {
            "previous version": f"rollback {domain}",
            "package": f"rollback {domain} --to-package",
            "recalibration": f"shrink {domain} --off",
        }[watched.undo]
        return [f"arbitrank {verb}{self._at}"]

    def impact(self, domain: str) -> str:
        """Compare what serves with its predecessor."""
        return f"arbitrank impact {domain} --on {self.log} --since {self.since}{self._at}"

    def suite(self, domain: str) -> str:
        """Run the cases of its suites."""
        return f"arbitrank suite {domain}{self._at}"

    def check(self, domain: str) -> str:
        """Look at what the domain's code and data have become."""
        return f"arbitrank check {domain}"


def alarms_of(domains: Mapping[str, DomainWatch], commands: Commands) -> tuple[list[Alarm], list[str]]:
    """The alarms, the most certain first, and remarks on drifts that are no domain's own.

    Numbers of the answers depend on all domains: of those that drift, the one with the most evidence is the cause, if
    no domain's own numbers do.
    """
    own: list[Alarm] = []
    derived: list[Alarm] = []
    notes: list[str] = []
    drifting = [name for name, one in domains.items() if any(each.alarms and each.own for each in one.drifts)]
    common = len(drifting) >= max(_LEAST_COMMON, _COMMON * len(domains))
    if common:
        notes.append(
            f"the readings of {len(drifting)} of {len(domains)} domains have changed at once: the requests have, or "
            "whatever reads them before the domains do; no single domain's fault"
        )
    for name, one in domains.items():
        drifts = [each for each in one.drifts if each.alarms]
        if strong := [each for each in drifts if each.own and not common]:
            own.append(_drifted(name, one, max(strong, key=lambda each: each.evidence), commands))
        elif weak := [each for each in drifts if not each.own]:
            derived.append(_drifted(name, one, max(weak, key=lambda each: each.evidence), commands))
        for claim in (one.mine, one.right):
            if claim is not None and claim.alarms:
                (own if claim.own else derived).append(_miscalibrated(name, one, claim, commands))
        own += _features(name, one, commands)
        if one.since is not None and one.takes_from:
            notes.append(f"{name} has a new version{_taken(one)}; compare it: {commands.impact(name)}")
    if derived and not common:
        cause = own[0].domain if own else max(derived, key=lambda each: each.evidence).domain
        named = {one.domain for one in own} | {cause}
        own += [one for one in derived if one.domain in named]
        notes += [
            f"{one.domain}: {one.text}; as answers depend on all domains, this may follow from {cause}"
            for one in derived
            if one.domain not in named
        ]
    return sorted(own, key=lambda one: -one.evidence), notes


def _drifted(name: str, one: DomainWatch, seen: Drift, commands: Commands) -> Alarm:
    how = "changed"
    if seen.slope > _SHARP:
        how = f"sharper: its log-odds are spread {seen.slope:.1f} times as wide, and moved by {seen.shift:+.1f}"
    elif seen.slope < 1 / _SHARP:
        how = f"duller: its log-odds are spread {seen.slope:.2f} times as wide, and moved by {seen.shift:+.1f}"
    elif abs(seen.shift) > 0.1:
        how = f"{'higher' if seen.shift > 0 else 'lower'}: its log-odds moved by {seen.shift:+.1f}"
    text = f"its {_NUMBERS[seen.stream]} has become {how}, on {seen.now} requests against {seen.before} before"
    text += _taken(one)
    return Alarm(name, "drift", text, seen.evidence, seen.level, _next(name, one, commands))


def _miscalibrated(name: str, one: DomainWatch, claim: Claims, commands: Commands) -> Alarm:
    band = claim.band
    what = "the request is its own" if claim.claim == "mine" else "its reading is entirely right"
    text = (
        f"P({claim.claim}) is wrong: it claims {100 * band.claimed:.1f} % on {band.n} requests of known truth, and "
        f"{what} in {100 * band.seen.mean:.1f} % [{100 * band.seen.low:.1f}, {100 * band.seen.high:.1f}]"
    )
    if claim.slope < 1 / _SHARP:
        text += f"; its log-odds are {1 / max(claim.slope, 0.01):.1f} times too strong"
    return Alarm(name, "calibration", text + _taken(one), claim.evidence, claim.level, _next(name, one, commands))


def _features(name: str, one: DomainWatch, commands: Commands) -> Iterator[Alarm]:
    for feature in one.lost_features:
        text = (
            f"its readings have lost the feature {feature.name!r}: in {100 * feature.before:.0f} % of them before, in "
            f"{100 * feature.now:.1f} % now"
        )
        if one.new_features:
            text += f"; new and unknown: {', '.join(map(repr, one.new_features[:_NAMED]))}"
        level = max((each.level for each in one.drifts), default=0.0)
        yield Alarm(name, "features", text, feature.evidence, level, (commands.check(name), commands.train(name)))


def _taken(one: DomainWatch) -> str:
    """A sentence's end on the neighbours that lose requests to the domain, and the ratio of its wins."""
    text = ""
    if (ratio := one.wins.ratio) is not None and (ratio > _MORE or ratio < 1 / _MORE):
        text += f"; it wins {ratio:.1f} times as many requests as before"
    parts = [
        f"{neighbour} {loss.requests.mean:.0f} [{loss.requests.low:.0f}, {loss.requests.high:.0f}]"
        for neighbour, loss in list(one.takes_from.items())[:_NAMED]
    ]
    return text + (f"; it takes requests from {', '.join(parts)}" if parts else "")


def _next(name: str, one: DomainWatch, commands: Commands) -> tuple[str, ...]:
    """The commands that help: back to the version before where it is new, less weight where it claims too much."""
    found = commands.undo(name, one)
    high = any(claim is not None and claim.alarms and claim.too_high for claim in (one.mine, one.right))
    more = (one.wins.ratio or 1.0) > _MORE or bool(one.takes_from)
    claim = next((each for each in one.drifts if each.stream == "mine" and each.own and each.alarms), None)
    if (high or more) and one.labelled >= _ENOUGH:
        found.append(commands.shrink(name))
    elif (high or more) and claim is not None:
        found.append(commands.shrink_by(name, claim))
    found.append(commands.train(name))
    return tuple(found)
