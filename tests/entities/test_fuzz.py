"""Arbitrary text: never raises, never quadratic, offsets always slice to the mention's text."""

from __future__ import annotations

import itertools
import math
import random
import time
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtrim.entities import Recognizer, split_sections
from medtrim.entities.assertion import assert_span
from medtrim.entities.tokens import split_sentences, tokenize

RECOGNIZER = Recognizer()
WORDS = st.sampled_from(
    [
        *(
            "no",
            "not",
            "without",
            "effusion",
            "pneumothorax",
            "opacity",
            "left",
            "right",
            "bibasilar",
            "small",
            "large",
        ),
        *(
            "may",
            "represent",
            "versus",
            "and",
            "or",
            ",",
            ".",
            ";",
            ":",
            "/",
            "(",
            ")",
            "[**",
            "**]",
            "___",
            "XXXX",
        ),
        *(
            "the",
            "heart",
            "is",
            "enlarged",
            "normal",
            "cannot",
            "exclude",
            "resolved",
            "history",
            "of",
            "in",
            "there",
        ),
        *("3.8", "cm", "\n", "\n\n", "\x00", "İ", "ß", "ﬁ", "𝔄", "e\u0301", "-", "–", "’", "'", "1.", "findings:"),
        *("IMPRESSION:", "", "It", "This", "Small.", "Findings"),
    ]
)
TEXTS = st.one_of(
    st.text(),
    st.text(st.characters(codec="utf-8"), max_size=300),
    st.lists(WORDS, max_size=60).map(" ".join),
    st.lists(WORDS, max_size=60).map("".join),
)


def check(text: str) -> None:
    for finding in RECOGNIZER.annotate_text(text):
        assert finding.assertion in ("present", "uncertain", "absent")
        assert any(m.role == "disease" for m in finding.mentions)
        for mention in finding.mentions:
            assert mention.start < mention.end
            assert text[mention.start : mention.end] == mention.text


@given(TEXTS)
def test_any_text_is_read_and_offsets_slice(text: str) -> None:
    check(text)


@given(TEXTS)
def test_sentences_do_not_overlap_and_lose_nothing_but_white_space_and_list_marks(text: str) -> None:
    spans = split_sentences(text)
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    assert all(text[s.start : s.end].strip() == text[s.start : s.end] != "" for s in spans)
    kept = sum(s.end - s.start for s in spans)
    lost = "".join(
        text[a:b] for a, b in zip([0, *(s.end for s in spans)], [*(s.start for s in spans), len(text)], strict=True)
    )
    assert kept + len(lost) == len(text)
    assert not any(c.isalpha() for c in lost)


@given(TEXTS)
def test_tokens_slice_to_their_words(text: str) -> None:
    tokens = tokenize(text)
    for word, start, end in zip(tokens.words, tokens.starts, tokens.ends, strict=True):
        said = text[start:end]
        visible = "".join(c for c in said if c not in "\u00ad\u200b\u200c\u200d\u2060\ufeff")
        spelled = (said.lower(), unicodedata.normalize("NFKC", visible).lower())
        assert word in ("", "'") or said in "LR" or word in spelled


@given(TEXTS, st.integers(0, 50), st.integers(0, 50))
def test_any_span_has_an_assertion(text: str, start: int, length: int) -> None:
    found = assert_span(text, start, start + length, lexicon=RECOGNIZER.reader.lexicon)
    assert (found.cue_start is None) == (found.cue_end is None)


@given(TEXTS)
def test_sections_hold_text_of_the_report(text: str) -> None:
    sections = split_sections(text)
    for part in (*sections.findings.split("\n"), *sections.impression.split("\n")):
        assert part.strip() in text


MEGABYTE = 1_000_000
HUGE = {
    "sentences": "No effusion. Small left opacity in the right base. ",
    "one line without a full stop": "no effusion and small left opacity in the right base with ",
    "one word": "a",
    "blanks": " ",
    "line breaks": "\n",
    "blank lines of blanks": " \n",
    "brackets": "[**",
    "full stops": ".",
    "stops and blanks": ". ",
    "null bytes": "\x00",
    "cues": "no not without may ",
    "descriptors": "left right small large ",
    "findings": "effusion ",
    "masks": "XXXX ",
    "elliptic sentences": "Small. ",
    "headings": "FINDINGS: ",
    "capitals": "A, ",
    "digits": "1.",
    "joined descriptors": "left and ",
}


# Drawn at random, so that no sentence repeats and nothing is remembered.
DRAWN = {
    "findings drawn": "effusion opacity edema mass nodule pneumonia",
    "denied lists drawn": "no effusion , mass ,",
    "descriptors drawn": "left right small large patchy upper left right small large patchy upper effusion",
    "anatomy drawn": "heart mediastinum enlarged normal and , is the",
    "cues drawn": "no may possible without resolved seen effusion cannot be excluded",
}


def seconds_of(read: Callable[[Recognizer], object]) -> float:
    """CPU time of one reading by a recogniser that remembers nothing yet."""
    recognizer = Recognizer()
    begun = time.process_time()
    read(recognizer)
    return time.process_time() - begun


def ten_times_the_text_takes_linear_time(read: Callable[[Recognizer, str], object], short: str, long: str) -> float:
    """Seconds for the long text. The best of up to five, since a busy machine slows some moments and not others."""
    few, many = math.inf, math.inf
    for _ in range(5):
        few = min(few, seconds_of(lambda recognizer: read(recognizer, short)))
        many = min(many, seconds_of(lambda recognizer: read(recognizer, long)))
        # Ten times the text in well under a hundred times the time; the floor is for clocks and warm-up.
        if many < 30 * max(few, 0.015):
            return many
    raise AssertionError(f"{len(short):,} characters take {few:.3f} s, {len(long):,} take {many:.3f} s")


@pytest.mark.parametrize("kind", DRAWN)
def test_text_without_full_stops_or_repetition_takes_linear_time(kind: str) -> None:
    lots = random.Random(0)
    words = DRAWN[kind].split()
    short, long = (
        " ".join(lots.choice(words) for _ in range(size // 4))[:size] for size in (MEGABYTE // 100, MEGABYTE // 10)
    )
    seconds = ten_times_the_text_takes_linear_time(Recognizer.annotate_text, short, long)
    assert seconds < 10, "a megabyte would take minutes"


@pytest.mark.parametrize("kind", HUGE)
def test_any_repetition_takes_linear_time(kind: str) -> None:
    def read(recognizer: Recognizer, text: str) -> None:
        split_sections(text)
        recognizer.annotate_text(text)

    unit = HUGE[kind]
    short, long = ((unit * (size // len(unit) + 1))[:size] for size in (MEGABYTE // 30, MEGABYTE // 3))
    ten_times_the_text_takes_linear_time(read, short, long)
