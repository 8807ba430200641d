"""What strangers send or write, mutated under the guidance of coverage: nothing but an error of ours may come of it.

    python tests/fuzz.py [PARSER …] [-- -runs=100000]

Needs atheris (requirements-bench.txt). Each PARSER, all by default, runs in a process of its own; what follows `--`
goes to libFuzzer. A finding is written to the working folder as libFuzzer does, and the exit status is not 0.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePath

import atheris

with atheris.instrument_imports(include=["arbitrank"]):
    from arbitrank.arbitration.arbitrator import Arbitrator
    from arbitrank.errors import ArbitrankError
    from arbitrank.importers.corpora import CorpusOptions, import_corpus
    from arbitrank.importers.corpora.writing import files_of
    from arbitrank.importers.payloads import PayloadFormat
    from arbitrank.registry import discover, loaded
    from arbitrank.serve.admission import head_refusal
    from arbitrank.serve.auth import authorize, read_tokens
    from arbitrank.serve.decoding import read_request
    from arbitrank.serve.inflating import inflated
    from arbitrank.serve.policy import read_policy
    from arbitrank.serve.refusal import Refusal
    from arbitrank.store.artifact import read_manifest
    from arbitrank.store.loading import load_domains
    from arbitrank.store.store import open_store
    from arbitrank.training_environment import read_environment
    from arbitrank.wire.notices import unnoticed
    from arbitrank.wire.requests import decode_example, decode_logged

RUNS = 20_000
_LONG = 60  # characters from which recognising takes the time that more runs are worth
_HYPOTHESIS = (
    b'{"domain":"music","intent":"PlayMusic","domain_confidence":0.7,"intent_confidence":0.9,"slots":[{"name":"title",'
    b'"value":"mary poppins","confidence":0.8,"start":5,"end":17}],"slots_confidence":0.8,"features":{"known":1}}'
)
_REQUEST = (
    b'{"id":"1","utterance":"play mary poppins","context":{"device":"tv","has_screen":true,"preference.music":0.5},'
    b'"session":"s","account":{},"dialogue":{"act":"ask"},"hypotheses":[' + _HYPOTHESIS + b"]"
)
_TRUTH = b',"truth":{"domain":"music","intent":"PlayMusic","slots":[{"name":"title","value":"mary poppins"}]}}'

SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "request": (_REQUEST + b"}", b'{"utterance":"play"}', b'{"hypotheses":[]}'),
    "example": (
        _REQUEST + _TRUTH,
        b'{"id":"1","text":"play hello","domain":"music","intent":"P",'
        b'"slots":[{"name":"t","value":"hello","start":5,"end":10}]}',
    ),
    "logged": (
        _REQUEST + b',"answer":{"id":"1","decision":{"action":"none"},"ranked":[],"domains":{},"ms":{}}}',
    ),
    "payload": (
        b'rasa\0{"text":"a b","intent":{"name":"x","confidence":1},"entities":[{"entity":"e","start":2,"end":3}]}',
        b'lex\0{"inputTranscript":"a","interpretations":[{"intent":{"name":"x","slots":{"s":{"value":'
        b'{"originalValue":"a"}}}},"nluConfidence":1}]}',
        b'dialogflow\0{"queryResult":{"queryText":"a","intent":{"displayName":"x"},"parameters":{"p":[1]},"outputContexts":'
        b'[{"parameters":{"p.original":"a"}}]}}',
        b'clu\0{"result":{"query":"a b","prediction":{"intents":[{"category":"x","confidenceScore":1}],"entities":'
        b'[{"category":"e","text":"b","offset":2,"length":1}]}}}',
        b'luis\0{"query":"a","prediction":{"intents":{"x":{"score":1}},"entities":{"e":[{"f":[1]}]}}}',
        b'hermes\0{"input":"a","intent":{"intentName":"o:x","confidenceScore":1},"slots":[{"slotName":"s","rawValue":"a"}]}',
        b'ovos\0[{"type":"ovos.common_play.query.response","data":{"skill_id":"a","results":[{"match_confidence":1}]}}]',
        b'wit\0{"text":"a","intents":[{"name":"x"}],"entities":{"n:r":[{"body":"a","start":0,"end":1}]}}',
        b'hass\0{"results":[{"intent":{"name":"x"},"slots":{"s":"a"},"unmatched_slots":{"t":1},"match":false}]}',
        b'llm\0{"choices":[{"message":{"tool_calls":[{"function":{"name":"a__b","arguments":"{}"}}]}}]}',
        b'llm\0{"choices":[{"logprobs":{"content":[{"token":"A","logprob":-1,"top_logprobs":[]}]}}]}',
        b'options\0{"labels":["a"],"scores":[1]}',
    ),
    "corpus": (
        b"rasa\0nlu.yml\0nlu:\n- intent: x\n  examples: |\n    - a [b](e:v) "
        b'[c]{"entity": "e", "role": "r"}\n- lookup: e\n',
        b"rasa\0nlu.md\0## intent:x\n- a [b](e)\n<!-- c -->\n## synonym:v\n- b\n",
        b"home-assistant\0a.yaml\0intents: {X: {data: [{sentences: ['<r> {l:s} (a;[b|c])']}]}}\n"
        b"expansion_rules: {r: (d|e)}\n",
        b"ovos\0a.intent\0(a|b) [c] {s} ##\n",
        b"bio\0a.tsv\0a\tO\nb\tB-e\tx\n\n",
        b"csv\0a.csv\0text,intent,tags\na b,x,O B-e\n",
        b'massive\0a.jsonl\0{"utt":"a b","annot_utt":"a [e : b]","intent":"x","partition":"dev"}',
        b'clu\0a.json\0{"assets":{"utterances":[{"text":"a b","intent":"x",'
        b'"entities":[{"category":"e","offset":2,"length":1}]}]}}',
        b'luis\0a.json\0{"utterances":[{"text":"a b","intent":"x",'
        b'"entities":[{"entity":"e","startPos":2,"endPos":2}]}],'
        b'"patterns":[{"pattern":"a {e:r} [b]","intent":"x"}]}',
    ),
    "policy": (
        b'[domains.shop]\naccept = 0.8\ncost = 20\n[domains.shop.intents.Buy]\nask = true\n'
        b'[[blocks]]\ndomain = "shop"\nintents = ["Buy"]\nwhen = { device = ["toy"] }\n'
        b'[[pins]]\ndomain = "video"\nwhen = { device = "tv" }\nleast = 0.3\n[locales]\nde = ["music"]\n',
    ),
    "tokens": (b"rank,feedback " + b"0" * 64 + b" name\n# more\npublish:music " + b"1" * 64 + b" other\n",),
    "head": (b"host\0a:1\0transfer-encoding\0chunked\0content-length\0001",),
    "compressed": (gzip.compress(b"{}" * 9, mtime=0), gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0)),
    "headers": (b"authorization\0Bearer abc\0host\0127.0.0.1\0origin\0http://a",),
    "manifest": (
        b'{"version":"0123456789ab","contract":1,"domain":"music","package":"p","package_version":"1","files":{}}',
    ),
    "environment": (b'{"package":"p","package_version":"1","loadable_by":">=1.2,<3","libraries":{"numpy":"2.1.0"}}',),
}  # fmt: skip


def parsers(folder: Path) -> dict[str, Callable[[bytes], object]]:
    """What reads each kind of input; `folder` is for those that read files."""
    served = Arbitrator(load_domains(loaded(discover()), open_store(folder / "store", environment={})))

    def request(raw: bytes) -> None:
        found = read_request(raw)
        if found.hypotheses is None and len(found.utterance or "") > _LONG:
            return
        failed = {name: one.reason for name, one in served.answer(found).domains.items() if one.status == "failed"}
        assert not failed, failed

    def file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        def written(raw: bytes) -> object:
            (folder / name).write_bytes(raw)
            return read(folder / name)

        return written

    def headers(raw: bytes) -> object:
        parts = raw.split(b"\0")
        return authorize((), list(zip(parts[::2], parts[1::2], strict=False)), "rank", loopback=True)

    def head(raw: bytes) -> object:
        parts = raw.split(b"\0")
        lines = list(zip(parts[::2], parts[1::2], strict=False))
        return head_refusal("1.1", lines, dict(lines))

    def compressed(raw: bytes) -> None:
        found = inflated(raw, 10_000)
        assert isinstance(found, Refusal) or len(found) <= 10_000

    def payload(raw: bytes) -> object:
        name, _, body = raw.partition(b"\0")
        return PayloadFormat.stated(name.decode("latin-1")).read(body, unnoticed)

    def corpus(raw: bytes) -> object:
        format, name, content = [*raw.split(b"\0", 2), b"", b""][:3]
        path = folder / f"corpus{PurePath(name.decode('latin-1').strip('.') or 'x').suffix[:8]}"
        path.write_bytes(content)
        return files_of(import_corpus(format.decode("latin-1"), path, CorpusOptions("own")))

    return {
        "request": request,
        "corpus": corpus,
        "payload": payload,
        "example": decode_example,
        "logged": decode_logged,
        "policy": file("policy.toml", read_policy),
        "tokens": file("tokens", read_tokens),
        "headers": headers,
        "head": head,
        "compressed": compressed,
        "manifest": file("manifest.json", lambda path: read_manifest(path.parent)),
        "environment": file("environment.json", lambda path: read_environment(path.parent)),
    }


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz one parser in this process, which ends with it."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        parser = parsers(Path(folder))[name]
        seeds = Path(folder, "seeds")
        seeds.mkdir()
        for number, seed in enumerate(SEEDS[name]):
            (seeds / str(number)).write_bytes(seed)

        def once(raw: bytes) -> None:
            with suppress(ArbitrankError):
                parser(raw)

        atheris.Setup([sys.argv[0], *options, str(seeds)], once)
        atheris.Fuzz()


def main() -> None:
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    names, options = arguments[:cut] or list(SEEDS), arguments[cut + 1 :] or [f"-runs={RUNS}"]
    if len(names) == 1:
        fuzz(names[0], options)
    for name in names:
        print(f"{name}:", flush=True)
        done = subprocess.run([sys.executable, __file__, name, "--", *options], check=False, stderr=subprocess.PIPE)
        lines = done.stderr.decode(errors="replace").splitlines()
        print("\n".join(lines[-1:] if done.returncode == 0 else lines[-40:]), flush=True)
        if done.returncode:
            raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
