"""Phrases by which users answer a question, one file a language; English ships.

A file is TOML or JSON with the keys of `AnswerPhrases`; `arbitration/phrases/en.toml` shows each of them.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Collection, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from arbitrank.errors import InputError
from arbitrank.regular_files import read_regular

Tokens = tuple[str, ...]
"""The words of a text, in lower case and without accents."""

_FOLDER = Path(__file__).parent / "phrases"
_MAX_BYTES = 1 << 18
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_ACCENTS = re.compile("[\u0300-\u036f]")

_Phrase = Annotated[str, Meta(min_length=1, max_length=100)]
_Phrases = Annotated[tuple[_Phrase, ...], Meta(max_length=1_000)]


class AnswerPhrases(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Phrases of one language, as users say them; case, accents and punctuation are ignored.

    `yes` and `no` answer a question with one contender; `none` declines all, `any` accepts the first. Before a choice,
    `negations` exclude it, and `corrections` mean nothing where there are several contenders. `ordinals` and `numbers`
    hold, for each position from the first, the phrases that mean it; `last` and `middle` are positions too. `fillers`
    are left away at both ends of an answer. `glue` are words that mean nothing between those of a name.
    """

    language: Annotated[str, Meta(min_length=2, max_length=35)]
    yes: _Phrases = ()
    no: _Phrases = ()
    none: _Phrases = ()
    any: _Phrases = ()
    negations: _Phrases = ()
    corrections: _Phrases = ()
    ordinals: Annotated[tuple[_Phrases, ...], Meta(max_length=100)] = ()
    numbers: Annotated[tuple[_Phrases, ...], Meta(max_length=100)] = ()
    last: _Phrases = ()
    middle: _Phrases = ()
    fillers: _Phrases = ()
    glue: _Phrases = ()

    @cached_property
    def sets(self) -> dict[str, frozenset[Tokens]]:
        """The phrases of each kind, as tokens."""
        kinds = ("yes", "no", "none", "any", "negations", "corrections", "last", "middle", "fillers")
        return {kind: frozenset(map(tokens, getattr(self, kind))) - {()} for kind in kinds}

    @cached_property
    def positions(self) -> dict[Tokens, int]:
        """The positions from 0 that phrases mean."""
        found: dict[Tokens, int] = {}
        for places in (self.ordinals, self.numbers):
            for place, phrases in enumerate(places):
                for phrase in phrases:
                    found.setdefault(tokens(phrase), place)
        return found

    @cached_property
    def glue_words(self) -> frozenset[str]:
        """The single words of `glue`."""
        return frozenset(word for phrase in self.glue for word in tokens(phrase))

    def stripped(self, words: Tokens, more: Collection[str] = ()) -> Tokens:
        """The words without fillers, and phrases of `more` kinds, at both ends; the last word always stays."""
        phrases = self.sets["fillers"].union(*(self.sets[kind] for kind in more))
        longest = max(map(len, phrases), default=0)
        changed = True
        while changed:
            changed = False
            for n in range(min(longest, len(words) - 1), 0, -1):
                if words[:n] in phrases:
                    words, changed = words[n:], True
                    break
                if words[-n:] in phrases:
                    words, changed = words[:-n], True
                    break
        return words


def tokens(text: str) -> Tokens:
    """The words of a text, in lower case, without accents and punctuation."""
    plain = unicodedata.normalize("NFKD", text.replace("\u2019", "'")).casefold()
    return tuple(_WORD.findall(unicodedata.normalize("NFC", _ACCENTS.sub("", plain))))


def without_ending(word: str) -> Tokens:
    """The word, and the shorter ones of which it is one with a short ending: lamps, lamp."""
    return (word, *(word[:-n] for n in (1, 2) if len(word) - n >= 4))


def phrases_of(language: str) -> AnswerPhrases:
    """The phrases of a language, by its tag: those of `en` for `en-GB`. Raises `InputError` where none ship."""
    name = re.split("[-_]", language.lower(), maxsplit=1)[0]
    known = shipped()
    if name not in known:
        raise InputError(
            f"language {language[:40]!r}: no phrases ship for it, expected one of {', '.join(known)}; give a file of "
            f"them, which arbitrank/arbitration/phrases/en.toml shows"
        )
    return read_phrases(_FOLDER / f"{name}.toml")


def shipped() -> Sequence[str]:
    """The languages whose phrases ship."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


@lru_cache(16)
def read_phrases(path: Path) -> AnswerPhrases:
    """The phrases in a TOML or JSON file. Raises `InputError` that names the key, and what was expected."""
    try:
        raw = read_regular(path, _MAX_BYTES)
        if path.suffix == ".json":
            return msgspec.json.decode(raw, type=AnswerPhrases)
        return msgspec.convert(tomllib.loads(raw.decode("utf-8-sig")), AnswerPhrases)
    except OSError as error:
        raise InputError(f"phrases {path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # TOML's and msgspec's errors are among these
        raise InputError(f"phrases {path}: {' '.join(str(error).split())}") from error
