"""The Books domain: what it knows beyond the toolkit, and where its data and shipped weights are."""

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


class Books(ReferenceDomain):
    """Books and audiobooks: to read, find, keep, rate, buy and borrow."""

    name = "books"
    title = "Books"
    intent_titles: Mapping[str, str] = {
        "ReadBook": "read or hear a book",
        "SearchBook": "look for a book",
        "AddToShelf": "put it on a shelf",
        "RateBook": "rate it",
        "BuyOrBorrowBook": "buy or borrow a book",
        "RecommendBook": "hear suggestions of books",
        "AskAboutBook": "know more about the book",
        "ResumeBook": "go on with the book",
    }
    feature_titles: Mapping[str, str] = titles_of_features("title", "author")
    context_keys = (*CORE_KEYS, "playing", "last_opened")

    @property
    def skills(self) -> tuple[Skill, ...]:
        phrases = ("read me the hobbit", "open dune", "who wrote emma", "put it on my want to read shelf")
        return (Skill(self.name, "Read, find, keep, rate, buy and borrow books and audiobooks", phrases),)

    @property
    def shipped(self) -> Path:
        return _HERE / "model"

    def examples(self) -> Iterable[Example]:
        return generate(_DATA, self.name)

    @cached_property
    def _catalogue(self) -> Catalogue:
        return Catalogue(read_works(_DATA), "title", "author", elsewhere=read_elsewhere(_DATA))

    def known_values(self) -> Mapping[str, Sequence[str]]:
        """The catalogue's titles and authors, which the tagger marks though no example has them."""
        return {column: self._catalogue.names(column) for column in ("title", "author")}

    def describe(self, hypothesis: Hypothesis) -> Mapping[str, float]:
        """Whether the catalogue has the title and the author, and whether other media are known to share the title."""
        return self._catalogue.describe(hypothesis)
