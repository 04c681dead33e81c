"""A WordPiece tokenizer trained on a corpus's own reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertTokenizer, PreTrainedTokenizerBase

from medtrim.errors import ModelError
from medtrim.models.pieces import PieceNumbers

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PREFIX = "##"


def train_wordpiece(texts: pa.ChunkedArray | Iterable[str], *, vocab_size: int, max_tokens: int) -> BertTokenizer:
    """A lower-casing BERT tokenizer whose vocabulary is learned from `texts`.

    The vocabulary holds the special tokens, every character seen (as a word's start and as its continuation),
    then whole words by falling count (ties by spelling), until `vocab_size`. Reports of radiologists use few
    distinct words, so words rather than merged pieces are the better use of a small vocabulary; what is not in
    it is spelled in characters, never lost. The library's own trainer breaks ties by hash order and so gives
    another vocabulary in each process; this one depends on the texts alone, not even on their order.

    Args:
        texts: the training reports.
        vocab_size: the largest vocabulary.
        max_tokens: the tokenizer's `model_max_length`, special tokens included.

    Raises:
        ModelError: the texts hold no word at all.
    """
    counts = _count_words(texts)
    if not counts:
        raise ModelError("a tokenizer cannot be trained: the training reports hold no word")
    characters = sorted({c for word in counts for c in word})
    vocabulary = [*SPECIAL, *characters, *(PREFIX + c for c in characters)]
    ranked = sorted((word for word in counts if len(word) > 1), key=lambda word: (-counts[word], word))
    vocabulary += ranked[: max(0, vocab_size - len(vocabulary))]
    return BertTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, model_max_length=max_tokens)


def _count_words(texts: pa.ChunkedArray | Iterable[str]) -> Counter[str]:
    # Split exactly as the tokenizer will.
    pipeline = Tokenizer(WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    pipeline.normalizer, pipeline.pre_tokenizer = normalizer, splitter
    # Blanks always part words, and what stands between two of them repeats: each such piece is split once.
    known = PieceNumbers()
    times_of = np.zeros(0, np.int64)
    for numbers, _ in known.of(texts):
        found = np.bincount(numbers, minlength=len(known.pieces))
        found[: len(times_of)] += times_of
        times_of = found
    counts: Counter[str] = Counter()
    for piece, times in zip(known.pieces, times_of.tolist(), strict=True):
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(piece)):
            counts[word] += times
    return counts


def reads_by_piece(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokens of a text are those of the pieces between its blanks, one after the other.

    BERT's normaliser and splitter look at no more than a piece; others take a blank for part of a word.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or tokenizer.truncation_side != "right":
        return False
    parts = (backend.normalizer, backend.pre_tokenizer, backend.model)
    kinds = (BertNormalizer, BertPreTokenizer, WordPiece)
    whole = not any(set(token.content) & set(" \t\n\r") for token in tokenizer.added_tokens_decoder.values())
    return whole and all(isinstance(part, kind) for part, kind in zip(parts, kinds, strict=True))
