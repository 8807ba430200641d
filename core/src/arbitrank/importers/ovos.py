"""OVOS and Mycroft: messages of common play and common query, and matches of Padatious and Adapt.

`match_confidence` of common play is 0 to 100, `conf` of Mycroft's 0 to 1; `conf` of common query is 0 to 1.1, as a
visual answer gets a bonus. The results of one skill and media type are one reading. `searching` is no answer yet.
Identifiers of skills are domains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, request_of, score, slot_in, words_of
from arbitrank.scales import scale
from arbitrank.values import Hypothesis, Request
from arbitrank.wire.json_text import short

COMMON_PLAY = "ovos.common_play.query.response"
MYCROFT_PLAY = "play:query.response"
COMMON_QUERY = "question:query.response"
_SERVICE = "intent.service."  # the beginning of the types of messages with a match, or null
_ADAPT = ("intent_type", "target", "confidence", "utterance", "__tags__", "name")
_PERCENT, _BONUS = scale("0..100"), scale("0..1.1")


class OvosMessage(msgspec.Struct, frozen=True):
    """A message of the bus."""

    type: str
    data: dict[str, Any]


class MediaEntry(msgspec.Struct, frozen=True):
    """A result of common play."""

    title: str | None = None
    match_confidence: Any = None
    media_type: int = 0


class PlayResponse(msgspec.Struct, frozen=True):
    """A skill's results of common play."""

    skill_id: str
    phrase: str | None = None
    results: list[MediaEntry] | None = None


class MycroftPlay(msgspec.Struct, frozen=True):
    """A skill's answer to Mycroft's common play; null where it is still searching."""

    skill_id: str
    phrase: str | None = None
    conf: float | None = None
    searching: bool | None = None


class QueryResponse(msgspec.Struct, frozen=True):
    """A skill's answer to a common query."""

    skill_id: str
    phrase: str | None = None
    answer: Any = None
    conf: Any = None


class IntentMatch(msgspec.Struct, frozen=True):
    """A match of Padatious (`name`, `matches`, `conf`) or of Adapt (`intent_type`, `confidence`)."""

    name: str | None = None
    sent: str | list[str] | None = None
    matches: dict[str, Any] | None = None
    conf: float | None = None
    intent_type: str | None = None
    confidence: float | None = None
    utterance: str | None = None


def ovos(payload: Any, options: ImportOptions) -> Request:
    """The request that the messages about one utterance make, or the matches of one."""
    found = payload if isinstance(payload, list) else [payload]
    parts: list[tuple[str | None, Sequence[Hypothesis]]] = []
    plays: list[tuple[str, PlayResponse]] = []
    known = False
    for i, one in enumerate(found):
        where = f"[{i}]" if isinstance(payload, list) else ""
        if not isinstance(one, dict):
            raise InputError(f"{where or 'the payload'}: {short(one)} is invalid, expected a message or a match")
        data, kind = one, ""
        if "type" in one and "data" in one:
            message = decoded(one, OvosMessage, where)
            data, kind = message.data, message.type
            where = f"{where}.data".lstrip(".")
        if kind == COMMON_PLAY:
            plays.append((where, decoded(data, PlayResponse, where)))
        elif kind == MYCROFT_PLAY:
            parts.append(_mycroft_played(decoded(data, MycroftPlay, where), options, where))
        elif kind == COMMON_QUERY:
            parts.append(_queried(decoded(data, QueryResponse, where), options, where))
        elif isinstance(match := data.get("intent", data), dict) and {"conf", "intent_type"} & match.keys():
            parts.append(_matched(match, data, options, where))
        elif kind.startswith(_SERVICE) and match is None:
            parts.append((None, []))
        else:
            options.notice(f"message {kind}", f"messages of the type {short(kind)} are ignored")
            continue
        known = True
    if not known:
        kinds = f"{COMMON_PLAY}, {MYCROFT_PLAY} or {COMMON_QUERY}"
        raise InputError(f"no message of {kinds}, and no match of Padatious or Adapt, expected some")
    parts += _played(plays, options)
    phrases = list(dict.fromkeys(phrase for phrase, _ in parts if phrase is not None))
    if len(phrases) > 1:
        raise InputError(f"phrases {', '.join(map(short, phrases[:3]))}: expected messages about one utterance")
    readings = [reading for _, each in parts for reading in each]
    return request_of(phrases[0] if phrases else None, readings, options)


def _played(
    plays: Sequence[tuple[str, PlayResponse]], options: ImportOptions
) -> Iterator[tuple[str | None, list[Hypothesis]]]:
    """The readings of common play: one for each media type of a skill, with its best result."""
    groups: dict[tuple[str, int], list[tuple[float | None, str | None]]] = {}
    for where, one in plays:
        yield one.phrase, []
        for i, entry in enumerate(one.results or ()):
            p = score(entry.match_confidence, f"{where}.results[{i}].match_confidence", _PERCENT)
            groups.setdefault((one.skill_id, entry.media_type), []).append((p, entry.title))
    for (skill, media), entries in groups.items():
        p, title = max(entries, key=lambda entry: -1.0 if entry[0] is None else entry[0])
        reading = Hypothesis(
            *options.target(skill, f"media-{media}"),
            domain_confidence=p,
            slots=(slot_in("title", title, None),) if title else (),
            features={"results": float(len(entries))},
        )
        yield None, [reading]


def _mycroft_played(one: MycroftPlay, options: ImportOptions, where: str) -> tuple[str | None, list[Hypothesis]]:
    if one.searching or one.conf is None:
        return one.phrase, []
    p = score(one.conf, f"{where}.conf")
    return one.phrase, [Hypothesis(*options.target(one.skill_id, "play"), domain_confidence=p)]


def _queried(one: QueryResponse, options: ImportOptions, where: str) -> tuple[str | None, list[Hypothesis]]:
    if not one.answer:
        return one.phrase, []
    p = score(one.conf, f"{where}.conf", _BONUS)
    return one.phrase, [Hypothesis(*options.target(one.skill_id, "question"), domain_confidence=p)]


def _matched(
    match: dict[str, Any], data: dict[str, Any], options: ImportOptions, where: str
) -> tuple[str | None, list[Hypothesis]]:
    """The reading of a match, none where no intent has a name."""
    one = decoded(match, IntentMatch, where)
    sent = " ".join(one.sent) if isinstance(one.sent, list) else one.sent
    text = next((each for each in (one.utterance, data.get("utterance"), sent) if isinstance(each, str)), None)
    text = options.utterance if text is None else text
    name = one.name or one.intent_type
    if not name or options.is_none(name):
        return text, []
    skill, colon, intent = name.partition(":")
    intent = (intent or skill).removesuffix(".intent")
    key, value = ("confidence", one.confidence) if one.conf is None else ("conf", one.conf)
    found = score(value, f"{where}.{key}".lstrip("."))
    words = one.matches
    if one.intent_type is not None and words is None:  # Adapt keeps the words of a match beside its name
        words = {key: each for key, each in match.items() if key not in _ADAPT and isinstance(each, str)}
    slots = tuple(slot_in(slot, words_of(each), text) for slot, each in (words or {}).items() if each not in (None, ""))
    target = options.target(skill, intent) if colon and skill else options.moved(None, intent)
    return text, [Hypothesis(*target, intent_confidence=found, slots=slots)]
