from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from medtrim.errors import ModelError
from medtrim.models import train_wordpiece
from medtrim.models.tokenizer import _count_words


def test_words_by_count_then_spelling():
    tokenizer = train_wordpiece(["effusion left", "effusion right"], vocab_size=10_000, max_tokens=16)
    words = [t for t in tokenizer.get_vocab() if len(t) > 1 and not t.startswith(("##", "["))]
    ids = tokenizer.get_vocab()
    assert sorted(words, key=ids.__getitem__) == ["effusion", "left", "right"]
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_unseen_word_is_spelled_not_lost():
    tokenizer = train_wordpiece(["effusion left"], vocab_size=100, max_tokens=32)
    assert tokenizer.tokenize("lesion") == ["l", "##e", "##s", "##i", "##o", "##n"]
    assert tokenizer.decode(tokenizer("Lesion left").input_ids, skip_special_tokens=True) == "lesion left"


def test_vocabulary_size_is_kept_and_the_most_frequent_win(reports):
    full = train_wordpiece(reports, vocab_size=10_000, max_tokens=16)
    room = sum(1 for t in full.get_vocab() if len(t.removeprefix("##")) == 1) + 5 + 3
    small = train_wordpiece(reports, vocab_size=room, max_tokens=16)
    assert len(small) == room
    assert {"no", "effusion", "right"} <= set(small.get_vocab())


def test_order_of_reports_does_not_matter(reports):
    ours = train_wordpiece(reports, vocab_size=90, max_tokens=16).get_vocab()
    assert ours == train_wordpiece(reversed(reports), vocab_size=90, max_tokens=16).get_vocab()


def test_hash_seed_does_not_matter(reports, under_another_hash_seed):
    program = (
        "import sys; from medtrim.models import train_wordpiece; "
        "print(sorted(train_wordpiece(sys.argv[1:], vocab_size=90, max_tokens=16).get_vocab().items()))"
    )
    ours = train_wordpiece(reports, vocab_size=90, max_tokens=16).get_vocab()
    assert under_another_hash_seed(program, *reports).strip() == str(sorted(ours.items()))


def test_no_word_is_an_error():
    with pytest.raises(ModelError, match="no word"):
        train_wordpiece(["", "  "], vocab_size=100, max_tokens=16)


@given(st.lists(st.text(max_size=40), max_size=4))
def test_words_counted_by_pieces_are_those_of_whole_texts(texts):
    normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    expected = Counter(
        word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
    )
    assert _count_words(texts) == expected
