"""The Video domain: what it knows beyond the toolkit, and where its data and shipped weights are."""

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


class Video(ReferenceDomain):
    """Films and series: to watch, find, keep, rate, rent and talk about."""

    name = "video"
    title = "Video"
    intent_titles: Mapping[str, str] = {
        "PlayVideo": "watch a video",
        "SearchVideo": "look for a video",
        "AddToWatchlist": "add it to the watchlist",
        "RateVideo": "rate it",
        "RentOrBuyVideo": "rent or buy a video",
        "RecommendVideo": "hear suggestions of videos",
        "AskAboutVideo": "know more about the video",
        "ResumeVideo": "go on with the video",
    }
    feature_titles: Mapping[str, str] = titles_of_features("title", "creator")
    context_keys = (*CORE_KEYS, "playing", "last_opened")

    @property
    def skills(self) -> tuple[Skill, ...]:
        phrases = ("watch moana", "resume the crown on the tv", "rent dune in 4k", "who directed inception")
        return (Skill(self.name, "Watch, find, keep, rate, rent and talk about films and series", phrases),)

    @property
    def shipped(self) -> Path:
        return _HERE / "model"

    def examples(self) -> Iterable[Example]:
        return generate(_DATA, self.name)

    @cached_property
    def _catalogue(self) -> Catalogue:
        return Catalogue(read_works(_DATA), "title", "creator", elsewhere=read_elsewhere(_DATA))

    def known_values(self) -> Mapping[str, Sequence[str]]:
        """The catalogue's titles and creators, which the tagger marks though no example has them."""
        return {column: self._catalogue.names(column) for column in ("title", "creator")}

    def describe(self, hypothesis: Hypothesis) -> Mapping[str, float]:
        """Whether the catalogue has the title and the creator, and whether other media are known to share the title."""
        return self._catalogue.describe(hypothesis)
