"""Schema-Guided Dialogue: the user's turns, each of the services that its frames name.

Without a domain of the caller's, the service is the domain. A turn of several services has a truth of each; one without
an active intent is out of scope. Values of a turn's state that the turn does not say are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arbitrank.errors import DataError, InputError
from arbitrank.importers.corpora.files import SourceFile, split_in
from arbitrank.importers.corpora.items import CorpusOptions, Item, LabelledReading, LeftOut, Utterance, slot_at
from arbitrank.importers.corpora.placed import Placed, read_json
from arbitrank.importers.options import domain_name
from arbitrank.values import Slot

_NONE = "NONE"


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
            yield from _dialogue(dialogue, split_in(file.path))


def _dialogue(dialogue: Placed, split: str | None) -> Iterator[Item]:
    id = dialogue.text("dialogue_id")
    for i, turn in enumerate(dialogue.each("turns")):
        speaker = turn.text("speaker")
        if speaker not in ("USER", "SYSTEM"):
            raise turn.at("speaker").invalid("USER or SYSTEM")
        if speaker == "USER":
            yield from _turn(turn, f"{id}-{i}", split)


def _turn(turn: Placed, id: str, split: str | None) -> Iterator[Item]:
    text = turn.text("utterance")
    readings = []
    for frame in turn.each("frames"):
        state = frame.maybe("state")
        intent = None if state is None else state.text_or("active_intent", None)
        try:
            slots = tuple(_slots(text, frame))
        except DataError:
            raise
        except InputError as error:
            yield LeftOut("utterance with offsets that do not fit", f"{turn.where}: {error}")
            return
        if intent not in (None, _NONE):
            readings.append(LabelledReading(domain_name(frame.name("service")), intent, slots))
    if not readings:
        yield Utterance(turn.where, text, None, out_of_scope=True, split=split, id=id)
        return
    first, *also = readings
    yield Utterance(
        turn.where, text, first.intent, first.slots, domain=first.domain, split=split, id=id, also=tuple(also)
    )


def _slots(text: str, frame: Placed) -> Iterator[Slot]:
    for slot in frame.each("slots"):
        if slot.maybe("start") is not None:
            value = slot.maybe("value")
            said = value.value if value is not None and isinstance(value.value, str) else None
            start, end = slot.whole_number("start"), slot.whole_number("exclusive_end")
            yield slot_at(text, slot.name("slot"), start, end, ("characters", "utf16"), said)
