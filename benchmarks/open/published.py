"""Published figures on the same corpora, with their sources, and the reasons why most are not quite comparable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Published(NamedTuple):
    """A published system: its figures in per cent, by the columns of the table that measure the same."""

    system: str
    figures: Mapping[str, float]
    source: str


SOURCES: Mapping[str, str] = {
    "HINT3": (
        "Arora et al., HINT3, Insights 2020 (arXiv 2009.13833): results/*.csv of github.com/hellohaptik/HINT3, full "
        "training sets. The same requests. Each row has the threshold, of 0.1 to 0.9, that is best on these very "
        "requests, which a user cannot know; ours are chosen on other folds, from the vendors' answers alone."
    ),
    "MARS": (
        "Clarke et al., One Agent To Rule Them All, Findings of ACL 2022 (arXiv 2203.07665). The share of questions, "
        "of those that some assistant answered acceptably, whose best-scored reply is acceptable, as in the column. "
        "One transformer of question and reply for all assistants, trained on the replies to the training questions; "
        "here each assistant learns alone, from four fifths of the questions whose replies are there."
    ),
    "SGD": (
        "Rastogi et al., AAAI 2020 (arXiv 1909.05855): dev split in schema_guided_dst/README.md of "
        "github.com/google-research/google-research. Active intent accuracy over all turns, NONE among the intents, "
        "where the service is known. Another task: there is no choice among services, and there are more turns."
    ),
    "CLINC150": (
        "Larson et al., EMNLP 2019 (D19-1131), data set Full, test split: 4,500 requests in scope and 1,000 out of "
        "scope, collected with those of dev. Intents of one classifier; `oos` is one class more in training, "
        "`threshold` rejects below a confidence chosen on validation data."
    ),
    "SLURP": (
        "recipes/SLURP/README.md of github.com/speechbrain/speechbrain, recipe NLU: gold transcripts, official train "
        "and test splits. Here train is a stand-in from the same collection, and dev is measured."
    ),
    "Slot-gated": (
        "Goo et al., NAACL 2018 (N18-2118), test split. Seven intents in one model. IRER is 100 less the sentence "
        "accuracy: intent and all slots right."
    ),
    "JointBERT": "Chen et al., 2019 (arXiv 1902.10909), test split, measured as above; a pretrained transformer.",
}
"""By the name of a source: the citation, what its figures measure, and what is different from the other rows."""

PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    "hint3-curekart": (
        Published("Haptik, threshold 0.6", {"intent": 74.8, "in_scope": 60.4, "out_of_scope": 86.8}, "HINT3"),
        Published("Dialogflow, threshold 0.6", {"intent": 73.2, "in_scope": 57.3, "out_of_scope": 86.5}, "HINT3"),
        Published("LUIS, threshold 0.6", {"intent": 71.0, "in_scope": 50.9, "out_of_scope": 87.9}, "HINT3"),
        Published("BERT, threshold 0.9", {"intent": 65.1, "in_scope": 80.3, "out_of_scope": 52.3}, "HINT3"),
        Published("Rasa, threshold 0.9", {"intent": 64.1, "in_scope": 73.9, "out_of_scope": 55.8}, "HINT3"),
    ),
    "hint3-sofmattress": (
        Published("Dialogflow, threshold 0.6", {"intent": 71.3, "in_scope": 60.6, "out_of_scope": 86.1}, "HINT3"),
        Published("BERT, threshold 0.9", {"intent": 69.0, "in_scope": 63.6, "out_of_scope": 76.5}, "HINT3"),
        Published("LUIS, threshold 0.2", {"intent": 66.5, "in_scope": 52.4, "out_of_scope": 86.1}, "HINT3"),
        Published("Haptik, threshold 0.3", {"intent": 66.0, "in_scope": 65.4, "out_of_scope": 66.9}, "HINT3"),
        Published("Rasa, threshold 0.9", {"intent": 63.7, "in_scope": 48.1, "out_of_scope": 85.5}, "HINT3"),
    ),
    "bbai-replies": (Published("MARS", {"domain": 83.6}, "MARS"),),
    "sgd": (Published("BERT, service known", {"intent": 88.5}, "SGD"),),
    "clinc150": (
        Published("BERT, oos", {"in_scope": 96.9, "out_of_scope": 40.3}, "CLINC150"),
        Published("BERT, threshold", {"in_scope": 96.2, "out_of_scope": 52.3}, "CLINC150"),
        Published("MLP, oos", {"in_scope": 93.5, "out_of_scope": 47.4}, "CLINC150"),
        Published("Dialogflow, oos", {"in_scope": 91.7, "out_of_scope": 14.0}, "CLINC150"),
        Published("Rasa, oos", {"in_scope": 91.5, "out_of_scope": 45.3}, "CLINC150"),
    ),
    "slurp": (Published("SpeechBrain, text", {"domain": 90.8, "intent": 87.3}, "SLURP"),),
    "snips": (
        Published("Slot-gated", {"intent": 97.0, "irer": 24.5}, "Slot-gated"),
        Published("JointBERT", {"intent": 98.6, "irer": 7.2}, "JointBERT"),
    ),
}
"""By contest. None on media, which is pooled from five sources here, on proslu, whose published models learn from ten
times the requests, and on bbai without replies, whose published figures are of other questions and labels."""
