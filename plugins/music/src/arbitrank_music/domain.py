"""The Music domain: what it knows beyond the toolkit, and where its data and shipped weights are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from arbitrank.domain import Skill
from arbitrank.learn.features import CORE_KEYS
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.nlu.catalogue import Catalogue, read_elsewhere, read_works, titles_of_features
from arbitrank.nlu.patterns import generate
from arbitrank.values import Example, Hypothesis

_HERE = Path(__file__).parent
_DATA = _HERE / "data"


class Music(ReferenceDomain):
    """Songs, albums, soundtracks and playlists: to play, find, keep, rate and talk about."""

    name = "music"
    title = "Music"
    intent_titles: Mapping[str, str] = {
        "PlayMusic": "play music",
        "SearchMusic": "look for music",
        "AddToPlaylist": "add it to a playlist",
        "RateMusic": "rate it",
        "BuyMusic": "buy music",
        "RecommendMusic": "hear suggestions of music",
        "AskAboutMusic": "know more about the music",
        "ResumeMusic": "go on with the music",
    }
    feature_titles: Mapping[str, str] = titles_of_features("title", "artist")
    context_keys = (*CORE_KEYS, "playing", "last_opened")

    @property
    def skills(self) -> tuple[Skill, ...]:
        phrases = ("play thriller", "put on some jazz", "add hello to my running playlist", "who sings this")
        return (
            Skill(self.name, "Play, find, keep, rate and talk about songs, albums, soundtracks and playlists", phrases),
        )

    @property
    def shipped(self) -> Path:
        return _HERE / "model"

    def examples(self) -> Iterable[Example]:
        return generate(_DATA, self.name)

    @cached_property
    def _catalogue(self) -> Catalogue:
        return Catalogue(read_works(_DATA), "title", "artist", elsewhere=read_elsewhere(_DATA))

    def known_values(self) -> Mapping[str, Sequence[str]]:
        """The catalogue's titles and artists, which the tagger marks though no example has them."""
        return {column: self._catalogue.names(column) for column in ("title", "artist")}

    def describe(self, hypothesis: Hypothesis) -> Mapping[str, float]:
        """Whether the catalogue has the title and the artist, and whether other media are known to share the title."""
        return self._catalogue.describe(hypothesis)
