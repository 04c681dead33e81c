"""Sentences and tokens."""

from __future__ import annotations

import pytest

from medtrim.entities.inflect import forms, plurals
from medtrim.entities.tokens import MAX_SENTENCE, split_sentences, tokenize


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("A 3.8 cm mass. Next.", ["A 3.8 cm mass.", "Next."]),
        ("Scar vs. mass. Next.", ["Scar vs. mass.", "Next."]),
        ("1. First. 2. Second.", ["First.", "Second."]),
        ("No effusion.There is edema.", ["No effusion.", "There is edema."]),
        ("wrapped\nline. next", ["wrapped\nline.", "next"]),
        ("one\n\ntwo", ["one", "two"]),
        ("one\n- two\n- three", ["one", "- two", "- three"]),
        ("Text\nLUNGS: clear", ["Text", "LUNGS: clear"]),
        ("  \n ", []),
        ("", []),
        ("...", ["..."]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [text[s.start : s.end] for s in split_sentences(text)] == sentences


def test_no_sentence_is_longer_than_the_limit() -> None:
    text = "word " * 10_000
    spans = split_sentences(text)
    assert max(s.end - s.start for s in spans) <= MAX_SENTENCE
    assert sum(text[s.start : s.end].count("word") for s in spans) == 10_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Air-space disease", ["air", "space", "disease"]),
        ("left - sided", ["left", "-", "sided"]),
        ("XXXX [**Name**] ___ xx", ["", "", "", "xx"]),
        ("3.8 x 2,5 cm", ["3.8", "x", "2,5", "cm"]),
        ("doesn’t", ["doesn", "'", "t"]),
        ("Neumotórax", ["neumotórax"]),
        ("\x00a", ["\x00", "a"]),
    ],
)
def test_tokens(text: str, words: list[str]) -> None:
    assert tokenize(text).words == words


@pytest.mark.parametrize(
    ("word", "plural"),
    [
        ("opacity", "opacities"),
        ("atelectasis", "atelectases"),
        ("pneumothorax", "pneumothoraces"),
        ("mass", "masses"),
        ("effusion", "effusions"),
        ("apex", "apices"),
        ("mediastinum", "mediastinums"),
    ],
)
def test_plurals(word: str, plural: str) -> None:
    assert plural in plurals(word)


def test_only_the_last_word_of_a_noun_phrase_is_inflected() -> None:
    assert forms("pleural effusion", noun=True) == ("pleural effusion", "pleural effusions")
    assert forms("pleural effusion", noun=False) == ("pleural effusion",)
    assert forms("opaci*", noun=True) == ("opaci*",)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("No pneumothorax\nSmall effusion", ["No pneumothorax", "Small effusion"]),
        ("NO PNEUMOTHORAX\nSMALL EFFUSION", ["NO PNEUMOTHORAX", "SMALL EFFUSION"]),
        ("The tip of the\nSwan catheter", ["The tip of the\nSwan catheter"]),
        ("small left\neffusion", ["small left\neffusion"]),
        ("Pneumothorax - No\nEffusion - Yes", ["Pneumothorax - No", "Effusion - Yes"]),
        ("No effusion<br>Heart large", ["No effusion", "Heart large"]),
        ("No effusion • Heart large", ["No effusion", "Heart large"]),
        ("Mod. R effusion. Lt. base clear.", ["Mod. R effusion.", "Lt. base clear."]),
    ],
)
def test_line_breaks_tags_and_bullets(text: str, sentences: list[str]) -> None:
    assert [text[s.start : s.end] for s in split_sentences(text)] == sentences
