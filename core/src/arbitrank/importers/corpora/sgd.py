"""Schema-Guided Dialogue: the user's turns, each of the services that its frames name.

Without a domain of the caller's, the service is the domain. A turn of several services has a truth of each; one without
an active intent is out of scope. A value that a turn adds to the state without an offset is a slot where the turn says
it once, else it is left out. The context has the domain and the intent of the user's turn before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from arbitrank.errors import DataError, InputError
from arbitrank.importers.corpora.files import SourceFile, split_in
from arbitrank.importers.corpora.items import CorpusOptions, Item, LabelledReading, LeftOut, Utterance, slot_at
from arbitrank.importers.corpora.placed import Placed, read_json
from arbitrank.importers.options import domain_name
from arbitrank.values import Slot

_NONE = "NONE"

_State = dict[tuple[str, str], set[str]]  # the values so far, by service and slot


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The utterances of the users in files of dialogues."""
    for file in files:
        if file.path.name == "schema.json" or (file.path.suffix != ".json" and len(files) > 1):
            yield LeftOut("file of another kind", file.label)
            continue
        document = read_json(file)
        if not isinstance(document.value, list):
            raise document.invalid("a list of dialogues")
        for dialogue in document.each():
            yield from _dialogue(dialogue, split_in(file.path), options.domain)


def _dialogue(dialogue: Placed, split: str | None, domain: str | None) -> Iterator[Item]:
    id = dialogue.text("dialogue_id")
    state: _State = {}
    context: dict[str, str] = {}
    for i, turn in enumerate(dialogue.each("turns")):
        speaker = turn.text("speaker")
        if speaker not in ("USER", "SYSTEM"):
            raise turn.at("speaker").invalid("USER or SYSTEM")
        if speaker == "SYSTEM":
            yield LeftOut("turn of the system", turn.where)
            continue
        extra: dict[str, Any] = {"dialogue": id, "turn": i} | ({"context": context} if context else {})
        for item in _turn(turn, state):
            if isinstance(item, Utterance):
                named = {"previous_domain": domain or item.domain, "previous_intent": item.intent}
                context = {key: name for key, name in named.items() if name is not None and not item.out_of_scope}
                yield item._replace(id=f"{id}-{i}", split=split, extra=extra)
            else:
                yield item


def _turn(turn: Placed, state: _State) -> Iterator[Item]:
    text = turn.text("utterance")
    readings = []
    for frame in turn.each("frames"):
        service, now = frame.name("service"), frame.maybe("state")
        intent = None if now is None else now.text_or("active_intent", None)
        try:
            slots = list(_slots(text, frame))
        except DataError:
            raise
        except InputError as error:
            yield LeftOut("utterance with offsets that do not fit", f"{turn.where}: {error}")
            return
        for item in _added(text, service, now, state, {slot.name for slot in slots}):
            slots += [item] if isinstance(item, Slot) else []
            if isinstance(item, LeftOut):
                yield item
        if intent not in (None, _NONE):
            slots.sort(key=lambda slot: slot.start or 0)
            readings.append(LabelledReading(domain_name(service), intent, tuple(slots)))
    if not readings:
        yield Utterance(turn.where, text, None, out_of_scope=True)
        return
    first, *also = readings
    yield Utterance(turn.where, text, first.intent, first.slots, domain=first.domain, also=tuple(also))


def _slots(text: str, frame: Placed) -> Iterator[Slot]:
    for slot in frame.each("slots"):
        if slot.maybe("start") is not None:
            value = slot.maybe("value")
            said = value.value if value is not None and isinstance(value.value, str) else None
            start, end = slot.whole_number("start"), slot.whole_number("exclusive_end")
            yield slot_at(text, slot.name("slot"), start, end, ("characters", "utf16"), said)


def _added(text: str, service: str, now: Placed | None, state: _State, marked: set[str]) -> Iterator[Slot | LeftOut]:
    """The slots of values that are new in the state of a service; those said once in the text, the others left out."""
    values = None if now is None else now.maybe("slot_values")
    for name, each in () if values is None else values.entries():
        said = {one.text() for one in each.each()}
        before, state[service, name] = state.get((service, name), set()), said
        if name in marked or not said or said <= before or before & said:
            continue
        found = [match for value in sorted(said) for match in _words(value, text)]
        if len(found) == 1:
            yield Slot(name, found[0][0], start=found[0].start(), end=found[0].end())
        else:
            yield LeftOut(
                "value of the state that the turn does not say once", f"{each.where}: {', '.join(sorted(said))}"
            )


def _words(value: str, text: str) -> Iterator[re.Match[str]]:
    return re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) if value.strip() else iter(())
