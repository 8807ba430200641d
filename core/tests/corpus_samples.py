"""Small corpora in the formats that `arbitrank import --corpus` reads, by format and path."""

from __future__ import annotations

import json
from pathlib import Path

RASA = """
version: "3.1"
nlu:
- intent: ask_kite
  examples: |
    - fly the [red one](kite) now
    - a [crimson]{"entity": "kite", "role": "wanted", "value": "red"} kite for [two]{"entity": "count", "group": "1"}
    - 🪁 [scarlet](kite:red) no
    - the [box][{"entity": "kite"}, {"entity": "shape"}] please
- intent: help/wind
  examples:
  - text: |
      is it windy
    metadata: {mood: neutral}
- intent: out_of_scope
  examples: |
    - who won
- synonym: red
  examples: |
    - ruby
- lookup: kite
  examples: |
    - delta
- regex: serial
  examples: |
    - K\\d+
"""

RASA_MD = """
## intent:ask_kite
<!-- not
- this -->
- fly the [red one](kite) now
* a [crimson](kite:red) kite
## synonym:red
- ruby
## lookup:kite
data/kites.txt
## regex:serial
- K\\d+
"""

RASA_JSON = {
    "rasa_nlu_data": {
        "common_examples": [
            {
                "text": "fly ruby now",
                "intent": "ask_kite",
                "entities": [{"start": 4, "end": 8, "value": "ruby", "entity": "kite"}],
            },
            {"text": "bad", "intent": "ask_kite", "entities": [{"start": 2, "end": 9, "value": "x", "entity": "kite"}]},
        ],
        "entity_synonyms": [{"value": "red", "synonyms": ["ruby"]}],
        "regex_features": [{"name": "serial", "pattern": "K\\d+"}],
    }
}

ALEXA = {
    "interactionModel": {
        "languageModel": {
            "invocationName": "kite house",
            "intents": [
                {"name": "AMAZON.FallbackIntent", "samples": ["who won"]},
                {"name": "AMAZON.StopIntent", "samples": []},
                {
                    "name": "FlyKite",
                    "slots": [{"name": "kite", "type": "KITE"}, {"name": "when", "type": "AMAZON.TIME"}],
                    "samples": ["fly {kite} {when}", "the {kite}"],
                },
            ],
            "types": [{"name": "KITE", "values": [{"id": "r", "name": {"value": "red", "synonyms": ["ruby"]}}]}],
        }
    }
}

DIALOGFLOW = {
    "intents/fly.kite.json": {"name": "fly.kite", "responses": [{"speech": "up"}], "fallbackIntent": False},
    "intents/fly.kite_usersays_en.json": [
        {
            "id": "1",
            "data": [
                {"text": "fly "},
                {"text": "ruby", "alias": "kite", "meta": "@kite"},
                {"text": " today", "meta": "@sys.ignore", "alias": "x"},
            ],
        },
        {"id": "2", "data": [{"text": "@kite:kite at @sys.time:time-of-day (please)"}], "isTemplate": True},
    ],
    "intents/none.json": {"name": "none", "fallbackIntent": True},
    "intents/none_usersays_en.json": [{"id": "3", "data": [{"text": "who won"}]}],
    "entities/kite.json": {"name": "kite", "isEnum": False},
    "entities/kite_entries_en.json": [{"value": "red", "synonyms": ["red", "ruby", "@sys.color:c red"]}],
    "agent.json": {"language": "en"},
}

CLU = {
    "projectFileVersion": "2023-04-01",
    "stringIndexType": "Utf16CodeUnit",
    "metadata": {"projectKind": "Conversation", "language": "en-us"},
    "assets": {
        "intents": [{"category": "FlyKite"}, {"category": "None"}, {"category": "Unused"}],
        "entities": [
            {
                "category": "kite",
                "list": {"sublists": [{"listKey": "red", "synonyms": [{"language": "en-us", "values": ["ruby"]}]}]},
                "regex": {"expressions": [{"regexKey": "serial"}]},
            }
        ],
        "utterances": [
            {
                "text": "🪁🪁 ruby",
                "intent": "FlyKite",
                "dataset": "Train",
                "entities": [{"category": "kite", "offset": 5, "length": 4}],
            },
            {
                "text": "split 🪁",
                "intent": "FlyKite",
                "dataset": "Train",
                "entities": [{"category": "kite", "offset": 7, "length": 1}],
            },
            {"text": "who won", "intent": "None", "dataset": "Test", "entities": []},
        ],
    },
}

LUIS = {
    "luis_schema_version": "7.0.0",
    "culture": "en-us",
    "intents": [{"name": "None"}, {"name": "FlyKite"}],
    "closedLists": [{"name": "kite", "subLists": [{"canonicalForm": "red", "list": ["ruby"]}]}],
    "utterances": [
        {
            "text": "fly ruby to two",
            "intent": "FlyKite",
            "entities": [
                {"entity": "kite", "startPos": 4, "endPos": 7, "role": "wanted"},
                {
                    "entity": "Order",
                    "startPos": 9,
                    "endPos": 14,
                    "children": [{"entity": "Count", "startPos": 12, "endPos": 14}],
                },
            ],
        },
        {"text": "who won", "intent": "None", "entities": []},
    ],
    "patterns": [{"pattern": "^fly {kite:wanted} [(now|later)]$", "intent": "FlyKite"}],
    "regex_entities": [{"name": "serial", "regexPattern": "K\\d+"}],
}

WIT = {
    "app/utterances/utterances-1.json": {
        "utterances": [
            {
                "text": "fly ruby",
                "intent": "fly_kite",
                "entities": [{"entity": "kite:wanted", "start": 4, "end": 8, "body": "ruby", "entities": []}],
                "traits": [{"trait": "wit$sentiment", "value": "neutral"}],
            },
            {"text": "who won", "entities": [], "traits": []},
        ]
    },
    "app/entities/kite.json": {
        "name": "kite",
        "roles": ["wanted"],
        "keywords": [{"keyword": "red", "synonyms": ["ruby"]}],
    },
    "app/app.json": {"name": "kites"},
}

WIT_OLD = {
    "data": [
        {
            "text": "fly ruby",
            "entities": [
                {"entity": "intent", "value": '"fly_kite"'},
                {"entity": "kite", "value": '"red"', "start": 4, "end": 8},
            ],
        }
    ]
}

OVOS = {
    "locale/en-us/fly.intent": "# a comment\n(fly|launch) [the|my] {kite} [at ##:##]\nsay :0: now\n(never closed\n",
    "locale/en-us/kite.entity": "(box|delta) kite\n:0:\n",
    "locale/en-us/Stop.voc": "stop\nhalt\n",
    "locale/en-us/where.rx": "(?P<Where>.*)\n",
}

HOME_ASSISTANT = """
language: en
intents:
  FlyKite:
    data:
      - sentences:
          - "<fly> {kite} [(now;[in] {place})]"
          - "{kite:other} up {height}"
          - "<unknown> up"
        slots: {domain: kite}
        response: up
lists:
  kite:
    values: [box, {in: "(ruby|crimson)", out: red}, {in: any, out: [box, red]}]
  height: {range: {from: 10, to: 30, step: 10, type: percentage}}
  place: {wildcard: true}
expansion_rules:
  fly: "(fly|[please] launch)"
skip_words: [uh]
"""

LEX_V1 = {
    "resource": {
        "name": "Kites",
        "locale": "en-US",
        "intents": [
            {
                "name": "FlyKite",
                "sampleUtterances": ["fly {kite} {when}"],
                "slots": [{"name": "kite", "slotType": "Kite"}, {"name": "when", "slotType": "AMAZON.TIME"}],
                "fulfillmentActivity": {"type": "ReturnIntent"},
            }
        ],
        "slotTypes": [{"name": "Kite", "enumerationValues": [{"value": "red", "synonyms": ["ruby"]}]}],
    }
}

LEX_V2 = {
    "Kites/BotLocales/en_US/Intents/FlyKite/Intent.json": {
        "name": "FlyKite",
        "sampleUtterances": [{"utterance": "fly {kite}"}],
        "parentIntentSignature": None,
    },
    "Kites/BotLocales/en_US/Intents/FlyKite/Slots/kite/Slot.json": {"name": "kite", "slotTypeName": "Kite"},
    "Kites/BotLocales/en_US/Intents/FallbackIntent/Intent.json": {
        "name": "FallbackIntent",
        "parentIntentSignature": "AMAZON.FallbackIntent",
        "sampleUtterances": None,
    },
    "Kites/BotLocales/en_US/SlotTypes/Kite/SlotType.json": {
        "name": "Kite",
        "slotTypeValues": [{"sampleValue": {"value": "red"}, "synonyms": [{"value": "ruby"}]}],
    },
    "Manifest.json": {"metaData": {"fileFormat": "LexJson"}},
}

SNIPS = {
    "language": "en",
    "intents": {
        "flyKite": {
            "utterances": [{"data": [{"text": "fly "}, {"text": "ruby", "entity": "kite", "slot_name": "wanted"}]}]
        }
    },
    "entities": {"kite": {"data": [{"value": "red", "synonyms": ["ruby"]}], "use_synonyms": True}},
}

SNIPS_YAML = """
type: intent
name: flyKite
slots: [{name: wanted, entity: kite}]
utterances:
  - fly [wanted:kite](ruby) no
---
type: entity
name: kite
values:
  - [red, ruby]
  - box
"""

MASSIVE = [
    {
        "id": "0",
        "locale": "de-DE",
        "partition": "train",
        "scenario": "kites",
        "intent": "kites_fly",
        "utt": "lass um fünf den roten um acht steigen",
        "annot_utt": "lass um [time : fünf] den [kite : roten] um [time : acht] steigen",
    },
    {
        "id": "0",
        "locale": "en-US",
        "partition": "test",
        "scenario": "kites",
        "intent": "kites_fly",
        "utt": "fly it",
        "annot_utt": "fly it",
    },
]

BIO = """# intent: fly
# text: fly-the ruby, now
fly\tO
-\tO
the\tO
ruby\tB-kite
,\tO
now\tO

box\tB-kite
kite\tI-kite\tfly
"""

SGD = [
    {
        "dialogue_id": "1",
        "services": ["Kites_1", "Winds_1"],
        "turns": [
            {
                "speaker": "USER",
                "utterance": "fly ruby in the north wind",
                "frames": [
                    {
                        "service": "Kites_1",
                        "slots": [{"slot": "kite", "start": 4, "exclusive_end": 8}],
                        "state": {"active_intent": "Fly", "slot_values": {}},
                    },
                    {
                        "service": "Winds_1",
                        "slots": [{"slot": "wind", "start": 16, "exclusive_end": 21}],
                        "state": {"active_intent": "Find", "slot_values": {}},
                    },
                ],
            },
            {"speaker": "SYSTEM", "utterance": "Done.", "frames": []},
            {
                "speaker": "USER",
                "utterance": "bye",
                "frames": [{"service": "Kites_1", "slots": [], "state": {"active_intent": "NONE"}}],
            },
            {
                "speaker": "USER",
                "utterance": "make two of them",
                "frames": [
                    {
                        "service": "Kites_1",
                        "slots": [],
                        "state": {"active_intent": "Fly", "slot_values": {"count": ["two"], "tail": ["True"]}},
                    }
                ],
            },
        ],
    }
]

ATIS = {
    "train/seq.in": "fly box kite now\nfly\n",
    "train/seq.out": "O B-kite I-kite O\nb\n",
    "train/label": "fly\nfly\n",
    "fly.test.iob": "BOS launch ruby EOS\tO O B-kite fly\n",
}

CSV = 'id,query,label,tags,note\n1,"fly ruby, now",fly,O B-kite O,x\n2,who won,oos,,\n'

SAMPLES: dict[str, tuple[str, dict[str, object]]] = {
    "rasa-yaml": ("rasa", {"nlu.yml": RASA}),
    "rasa-markdown": ("rasa", {"data/nlu.md": RASA_MD, "data/kites.txt": "delta\nruby\n"}),
    "rasa-json": ("rasa", {"nlu.json": RASA_JSON}),
    "alexa": ("alexa", {"en-US.json": ALEXA}),
    "dialogflow": ("dialogflow", DIALOGFLOW),
    "clu": ("clu", {"clu.json": CLU}),
    "luis": ("luis", {"luis.json": LUIS}),
    "wit": ("wit", WIT),
    "wit-old": ("wit", {"expressions.json": WIT_OLD}),
    "ovos": ("ovos", OVOS),
    "home-assistant": ("home-assistant", {"kites.yaml": HOME_ASSISTANT}),
    "lex-v1": ("lex", {"Kites.json": LEX_V1}),
    "lex-v2": ("lex", LEX_V2),
    "snips": ("snips", {"dataset.json": SNIPS}),
    "snips-yaml": ("snips", {"dataset.yaml": SNIPS_YAML}),
    "massive": ("massive", {"de.jsonl": "\n".join(map(json.dumps, MASSIVE))}),
    "bio": ("bio", {"kites.conll": BIO}),
    "atis": ("atis", ATIS),
    "sgd": ("sgd", {"train/dialogues_001.json": SGD, "train/schema.json": []}),
    "csv": ("csv", {"kites.csv": CSV}),
}
"""By name: the format, and the content of its files, a text or what JSON encodes."""


def written(files: dict[str, object], folder: Path) -> Path:
    """The path of a sample's files, written: the file where there is one, else the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        path.write_text(text, encoding="utf-8")
    return folder / next(iter(files)) if len(files) == 1 else folder
