"""A domain on the toolkit whose model wraps the toolkit's own and hands over its `LinearForm`, as 0.1 had it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from arbitrank.domain import LinearForm, Model, Scores, Skill
from arbitrank.errors import ArtifactError
from arbitrank.learn.features import CORE_KEYS
from arbitrank.learn.reference import ReferenceDomain, ReferenceModel
from arbitrank.nlu.catalogue import Catalogue, also_of, read_works
from arbitrank.nlu.patterns import generate
from arbitrank.values import Example, Hypothesis, Request

_DATA = Path(__file__).parent / "data"


class Kites(ReferenceDomain):
    """Kites: to fly and to find."""

    name = "kites"
    context_keys = (*CORE_KEYS, "beach")

    def __init__(self) -> None:
        super().__init__()
        works = read_works(_DATA)
        self._catalogue = Catalogue(works, "title", "maker")
        self._shared = {work["title"].casefold() for work in works if also_of(work)}

    @property
    def skills(self) -> tuple[Skill, ...]:
        return (Skill(self.name, "Fly and find kites", ("fly the rokkaku", "find a kite for a breeze")),)

    def examples(self) -> Iterable[Example]:
        return generate(_DATA, self.name, seed=1)

    def describe(self, hypothesis: Hypothesis) -> Mapping[str, float]:
        titles = [slot.value.casefold() for slot in hypothesis.slots if slot.name == "title"]
        shared = float(any(title in self._shared for title in titles))
        return {**self._catalogue.describe(hypothesis), "shared": shared}

    def load(self, folder: Path) -> Model:
        if not folder.is_dir():
            raise ArtifactError(f"{folder}: no folder")
        model = super().load(folder)
        assert isinstance(model, ReferenceModel)
        return KitesModel(model)


class KitesModel(Model):
    """The toolkit's model, called through."""

    def __init__(self, inner: ReferenceModel) -> None:
        self.inner = inner

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        return self.inner.recognise(request)

    def rerank(self, request: Request) -> Scores:
        return self.inner.rerank(request)

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        return self.inner.explain(request)

    def linear(self) -> LinearForm | None:
        form = self.inner.linear()
        return None if form is None else LinearForm(form.kind, form.features, form.mine, form.right)
