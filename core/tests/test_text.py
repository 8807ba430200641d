"""An utterance as tokens and hashed n-grams."""

from __future__ import annotations

import itertools
import unicodedata
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.nlu.text import BUCKETS, MAX_CHARACTERS, crc, ngrams, tokenise
from arbitrank.normal_text import blank, comparable, visible_length


@pytest.mark.parametrize(
    ("utterance", "tokens"),
    [
        ("", []),
        (" \t\n\u3000", []),
        ("Turn ON the light", ["turn", "on", "the", "light"]),
        ("don't stop", ["don", "'", "t", "stop"]),
        ("at 7:30, 50%!", ["at", "7", ":", "30", ",", "50", "%", "!"]),
        ("snake_case", ["snake", "_", "case"]),
        ("U2 4ever", ["u2", "4ever"]),
        ("ÉTÉ Straße", ["été", "strasse"]),
        ("ete\u0301 now", ["eté", "now"]),  # an accent of its own belongs to its letter
        ("x\u0301y now", ["x\u0301y", "now"]),  # also where there is no letter with it
        ("打开卧室的灯", list("打开卧室的灯")),
        ("播放Thriller吧", ["播", "放", "thriller", "吧"]),
        ("ライトをつけて", list("ライトをつけて")),
        ("불을 켜줘", ["불을", "켜줘"]),  # Korean is written with spaces
        ("เปิดไฟ", list("เปิดไฟ")),
        ("बत्ती जलाओ", ["बत्ती", "जलाओ"]),  # vowel signs and viramas belong to their word
        ("أضئ النور", ["أضئ", "النور"]),
        ("أَضِئ", ["أَضِئ"]),
        ("הַדְלֵק אור", ["הַדְלֵק", "אור"]),
        ("\u202bאור\u202c", ["אור"]),
        ("ライトを", list("ライトを")),
        ("か\u3099ん", ["が", "ん"]),
        ("\u1112\u1161\u11ab국", ["한국"]),
        ("dim\u00a0the\u200blights\u3000now", ["dim", "the", "lights", "now"]),
        ("\ufeffdim\u2060mer\u200d lig\u00adhts", ["dimmer", "lights"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("caffe\u200c\u0300", ["caffè"]),
        ("❤\ufe0f", ["❤"]),
        ("включи свет", ["включи", "свет"]),
        ("άναψε το φως", ["άναψε", "το", "φωσ"]),  # casefolded: the final sigma is a sigma
        ("hi👋🏽there", ["hi", "👋", "🏽", "there"]),
        ("👨‍👩‍👧", ["👨", "👩", "👧"]),
        ("\U00020000\U00030000", ["\U00020000", "\U00030000"]),
    ],
)
def test_the_tokens(utterance: str, tokens: list[str]) -> None:
    assert [token.text for token in tokenise(utterance)] == tokens


texts = st.text(max_size=40) | st.text(alphabet="aÀß\u0301\u093f中の👍🏽\u200dשا_-'7 \t", max_size=40)


@given(texts)
def test_offsets_cut_each_tokens_text(utterance: str) -> None:
    tokens = tokenise(utterance)
    for token in tokens:
        assert comparable(utterance[token.start : token.end]) == token.text
        assert token.start < token.end
    assert all(before.end <= after.start for before, after in itertools.pairwise(tokens))


@given(texts)
def test_only_blanks_and_invisible_characters_are_outside_of_tokens(utterance: str) -> None:
    rest = list(utterance)
    for token in tokenise(utterance):
        rest[token.start : token.end] = " " * (token.end - token.start)
    assert not comparable("".join(rest))


@given(texts)
def test_no_word_begins_with_a_mark_that_could_belong_to_the_one_before(utterance: str) -> None:
    for before, after in zip(tokenise(utterance), tokenise(utterance)[1:], strict=False):
        if before.end == after.start and before.text[-1] in "aß7" and len(after.text) == 1:
            assert after.text not in "\u0301\u093f"


@given(texts)
def test_tokens_do_not_depend_on_case(utterance: str) -> None:
    folded = utterance.casefold()
    if len(folded) == len(utterance):
        assert tokenise(folded) == tokenise(utterance)


def test_a_composed_and_a_decomposed_accent_give_as_many_tokens() -> None:
    for word in ("déjà", "Zürich", "señor", "Việt"):
        assert (
            len(tokenise(unicodedata.normalize("NFC", word))) == len(tokenise(unicodedata.normalize("NFD", word))) == 1
        )


def test_no_more_is_read_than_the_limit() -> None:
    assert len(tokenise("a " * 10_000)) == MAX_CHARACTERS // 2
    assert len(tokenise("灯" * 10_000)) == MAX_CHARACTERS
    assert len(ngrams("a" * 10_000)) == len(ngrams("a" * MAX_CHARACTERS))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", 0),
        ("123456789", 0xCBF43926),  # the check value that the standard gives for CRC-32
        ("The quick brown fox jumps over the lazy dog", 0x414FA339),
        ("wlight", 182269744),
        ("灯", 924649540),
        ("\ud800", 499426600),
    ],
)
def test_the_hash_is_crc_32_of_the_utf_8(text: str, value: int) -> None:
    assert crc(text) == value
    assert crc(text) == crc32(text.encode("utf-8", "surrogatepass"))


def test_the_n_grams_of_an_utterance_are_these() -> None:
    words = ["wlight", "wup", "w\x02 light", "wlight up", "wup \x03", "w\x02 light up", "wlight up \x03"]
    words += ["s\x02 up", "slight \x03"]
    characters = [
        "c l",
        "cli",
        "cig",
        "cgh",
        "cht",
        "ct ",
        "c li",
        "clig",
        "cigh",
        "cght",
        "cht ",
        "c lig",
        "cligh",
        "cight",
    ]
    characters += ["cght ", "c ligh", "clight", "cight ", "c u", "cup", "cp ", "c up", "cup ", "c up "]
    promised = sorted({crc32(gram.encode()) % BUCKETS for gram in words + characters})
    assert ngrams("Light  UP").tolist() == promised


def test_the_buckets_of_an_utterance_never_change() -> None:
    """These numbers are in everybody's weights: where they change, every model has to be trained again."""
    promised = [38511, 40176, 51850, 72037, 391718, 638786, 652288, 717764, 753310, 814349, 866574, 867088, 883595]
    assert ngrams("on 灯").tolist() == [*promised, 888472, 892927, 946776, 951528, 1021788]


@given(texts)
def test_buckets_are_distinct_sorted_and_in_range(utterance: str) -> None:
    buckets = ngrams(utterance)
    assert buckets.dtype == np.uint32
    assert (np.diff(buckets.astype(np.int64)) > 0).all()
    assert len(buckets) > 0
    assert buckets[-1] < BUCKETS


@given(texts)
def test_composed_and_decomposed_accents_give_the_same_tokens(utterance: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, utterance) for form in ("NFC", "NFD"))
    assert [token.text for token in tokenise(composed)] == [token.text for token in tokenise(decomposed)]
    for token in tokenise(decomposed):
        assert comparable(decomposed[token.start : token.end]) == token.text


@given(texts)
def test_texts_that_look_alike_compare_as_equal(text: str) -> None:
    alike = unicodedata.normalize("NFD", text).replace(" ", "\u00a0").replace("-", "\u2060-\ufeff")
    assert comparable(alike) == comparable(text)
    assert visible_length(alike) == visible_length(text)


LONG = st.text("aé\u0323\u0301가\u1100\u1161 \n\u200b👍🏽", min_size=400, max_size=1200)


@given(LONG)
def test_long_texts_that_look_alike_compare_as_equal(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert comparable(composed) == comparable(decomposed)
    assert visible_length(composed) == visible_length(decomposed)


def test_a_text_of_marks_alone_is_read() -> None:
    # Sorted as one run, so many marks would take hours.
    marks = "a" + 500_000 * "\u0301\u0323"
    assert visible_length(marks) <= len(marks)
    assert comparable(marks).startswith("\u1ea1")
    assert tokenise(marks)[0].text.startswith("ạ")


@pytest.mark.parametrize(
    "text", ["", " \t\u2003", "\u200b", "\ufeff\u2060", "\0\x7f", "\u3164", "\u2800", "\u180e", "\U000e0001"], ids=ascii
)
def test_texts_that_show_nothing_are_blank(text: str) -> None:
    assert blank(text)
    assert not blank(f"{text}?{text}")
