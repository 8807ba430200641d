"""The contender of a question that a user's next words mean.

    answer = arbitrator.answer("warm it up")       # clarify: the oven or the car?
    choose(answer, "the second one")               # Choice(choice=1, kind="contender", …)
    choose(answer, "turn off the light")           # Choice(choice=None, kind="not_an_answer", …): a new request

The words have to answer the question as a whole: a position alone ("the second one"), or words of one contender's names
alone ("the car"). Whatever else they hold makes them a new request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from msgspec import UNSET, Struct

from arbitrank.arbitration.answer_phrases import AnswerPhrases, Tokens, phrases_of, read_phrases, tokens, without_ending
from arbitrank.errors import InputError
from arbitrank.values import Answer, Ranked

MAX_WORDS = 2_000
"""Characters of the words, which is as much as an utterance may have."""

Kind = Literal["contender", "none", "not_an_answer"]

_LONG = 40  # words beyond which a text answers no question
_MOST = 100  # contenders
_NAMES, _LONG_NAME = 50, 200  # names of a contender, and characters of a name, that are read
_PARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-./:]+")


class Choice(Struct, frozen=True):
    """The meaning of an answer to a question.

    `choice` is the index into `Answer.ranked` of the contender that is meant, None where `kind` is not `contender`:
    `none` where the user declines all of them, `not_an_answer` where the words are a new request, or do not tell which
    contender is meant. `reason` says by what.
    """

    choice: int | None
    kind: Kind
    reason: str


class _Contender:
    """A contender: its index into the ranked list, and the words of its names."""

    def __init__(self, answer: Answer, index: int, glue: frozenset[str]) -> None:
        self.index, entry = index, answer.ranked[index]
        names = (name for name in islice(_names(answer, entry), _NAMES) if len(name) <= _LONG_NAME)
        self.names = frozenset(filter(None, map(tokens, names)))
        self.words = frozenset(word for name in self.names for word in name) - glue
        self.stems = frozenset(stem for word in self.words for stem in without_ending(word))

    def covers(self, words: Sequence[str]) -> bool:
        """True where each of the words is of one of its names, whatever its ending: lamp, of lamps."""
        return all(word in self.stems or not self.words.isdisjoint(without_ending(word)) for word in words)


def choose(
    answer: Answer, words: str | int, *, language: str = "en", phrases: AnswerPhrases | Path | str | None = None
) -> Choice:
    """The contender of a `clarify` that is meant by the user's next words, or by a contender's index or domain.

    `language` is a tag, as in a locale, of a language whose phrases ship; `phrases` holds those of another one, or the
    file with them. Raises `InputError` where the answer is no question, the index is no contender's, or there are no
    phrases.
    """
    contenders = _contenders(answer)
    if isinstance(words, int) and not isinstance(words, bool):
        if words not in contenders:
            known = ", ".join(map(str, contenders))
            raise InputError(f"words: {words} is no contender, expected one of {known}: indices into `ranked`")
        return Choice(words, "contender", "its index")
    if not isinstance(words, str):
        raise InputError(f"words: {type(words).__name__}, expected a text or the index of a contender")
    if len(words) > MAX_WORDS:
        raise InputError(f"words: {len(words)} characters, expected at most {MAX_WORDS}")
    if phrases is None:
        phrases = phrases_of(language)
    elif not isinstance(phrases, AnswerPhrases):
        phrases = read_phrases(Path(phrases))
    said = tokens(words)
    if not said or len(said) > _LONG:
        reason = f"{len(said)} words are a request of their own" if said else "no words"
        return Choice(None, "not_an_answer", reason)
    return _Reading(phrases, [_Contender(answer, i, phrases.glue_words) for i in contenders]).read(said)


def _contenders(answer: Answer) -> tuple[int, ...]:
    decision = answer.decision
    if decision.action != "clarify" or not decision.contenders:
        raise InputError(f"decision: {decision.action} asks nothing, expected an answer whose decision is clarify")
    wrong = [i for i in decision.contenders if not 0 <= i < len(answer.ranked)]
    if wrong:
        raise InputError(f"decision.contenders: {wrong[0]} is out of range, expected indices into `ranked`")
    if len(decision.contenders) > _MOST:
        raise InputError(f"decision.contenders: {len(decision.contenders)}, expected at most {_MOST}")
    return decision.contenders


def _names(answer: Answer, entry: Ranked) -> Iterator[str]:
    """All names by which a contender may be meant."""
    yield from (entry.domain, _spaced(entry.domain), _spaced(entry.intent))
    report = answer.domains.get(entry.domain)
    if report is not None:
        if report.title is not UNSET:
            yield report.title
        if report.intent_titles is not UNSET and entry.intent in report.intent_titles:
            yield report.intent_titles[entry.intent]
    for slot in entry.slots:
        yield slot.value


def _spaced(name: str) -> str:
    """The words of a name in code: switch on, of SwitchOn."""
    return _PARTS.sub(" ", name)


class _Reading:
    """Reading of an answer to a question with these contenders."""

    def __init__(self, phrases: AnswerPhrases, contenders: Sequence[_Contender]) -> None:
        self.phrases, self.contenders = phrases, contenders

    def read(self, said: Tokens) -> Choice:
        """The contender that the words mean."""
        core = self.phrases.stripped(said)
        # "Yes, the car" and "no, the car"; to a single contender, the latter does not mean it.
        bare = self.phrases.stripped(said, ("yes",) if len(self.contenders) == 1 else ("yes", "corrections"))
        for words in dict.fromkeys((said, core, bare)):
            found = self._named(words) or self._placed(words) or self._phrased(words)
            if found is not None:
                return found
        return self._negated(core) or self._covered(bare) or Choice(None, "not_an_answer", "words of no contender")

    def _named(self, words: Tokens) -> Choice | None:
        """By a whole name, which only one contender has."""
        own = [i for i, one in enumerate(self.contenders) if words in one.names]
        place = self._place(words)
        if own and place is not None and place < len(self.contenders) and own != [place]:
            return Choice(None, "not_an_answer", f"{' '.join(words)} is a name and a position")
        if len(own) == 1:
            return Choice(self.contenders[own[0]].index, "contender", f"its name: {' '.join(words)}")
        return None

    def _place(self, words: Tokens) -> int | None:
        """The position that words mean, from 0; it may be beyond the last contender."""
        n, sets = len(self.contenders), self.phrases.sets
        if words in sets["last"]:
            return n - 1
        if words in sets["middle"]:
            return n // 2 if n % 2 else None
        if words in self.phrases.positions:
            return self.phrases.positions[words]
        return int(words[0]) - 1 if len(words) == 1 and words[0].isdecimal() and 0 < len(words[0]) <= 2 else None

    def _placed(self, words: Tokens) -> Choice | None:
        place = self._place(words)
        if place is None:
            return None
        if not 0 <= place < len(self.contenders):
            return Choice(None, "not_an_answer", f"{' '.join(words)}, of {len(self.contenders)} contenders")
        return Choice(self.contenders[place].index, "contender", f"its position: {' '.join(words)}")

    def _phrased(self, words: Tokens) -> Choice | None:
        """By a phrase that accepts or declines."""
        sets, said = self.phrases.sets, " ".join(words)
        if words in sets["none"] or words in sets["no"]:
            return Choice(None, "none", said)
        if words in sets["any"]:
            return Choice(self.contenders[0].index, "contender", f"the first, as any will do: {said}")
        if words in sets["yes"]:
            if len(self.contenders) == 1:
                return Choice(self.contenders[0].index, "contender", said)
            return Choice(None, "not_an_answer", f"{said}, to {len(self.contenders)} contenders")
        return None

    def _negated(self, words: Tokens) -> Choice | None:
        """By what is not meant: of two contenders the other, of one none."""
        negations = self.phrases.sets["negations"]
        rest = next((words[n:] for n in range(len(words) - 1, 0, -1) if words[:n] in negations), ())
        if not rest:
            return None
        core, reason = self.phrases.stripped(rest), " ".join(words)
        found = self._named(core) or self._placed(core) or self._covered(core)
        if found is None or found.choice is None:
            return None
        others = [one for one in self.contenders if one.index != found.choice]
        if len(others) > 1:
            return Choice(None, "not_an_answer", f"{reason}, of {len(self.contenders)} contenders")
        return Choice(others[0].index, "contender", reason) if others else Choice(None, "none", reason)

    def _covered(self, words: Tokens) -> Choice | None:
        """By words of its names, all of which only one contender has."""
        content = [word for word in words if word not in self.phrases.glue_words]
        own = [one for one in self.contenders if content and one.covers(content)]
        if len(own) == 1:
            return Choice(own[0].index, "contender", f"words of its names: {' '.join(content)}")
        if own:
            return Choice(None, "not_an_answer", f"{' '.join(content)}: {len(own)} contenders have these words")
        return None
