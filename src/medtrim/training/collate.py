"""Batches as tensors: a map-style dataset whose item k is the whole batch k."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase

from medtrim.data import ImageCache
from medtrim.models.pieces import PieceNumbers
from medtrim.models.tokenizer import reads_by_piece
from medtrim.training.batches import BatchPlan

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenTable:
    """Token ids of all reports, one after the other: report i is `flat[starts[i]:starts[i + 1]]`."""

    flat: NDArray[np.int32]
    starts: NDArray[np.int64]
    pad: int
    special: tuple[int, ...]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each report, special ones included."""
        return np.diff(self.starts)

    def first(self, count: int) -> TokenTable:
        """The first `count` reports alone."""
        starts = self.starts[: count + 1]
        return replace(self, flat=self.flat[: starts[-1]], starts=starts)

    def batch(self, rows: NDArray[np.int64], *, width: int) -> Tensor:
        """Ids of some reports, padded to `width`: int64 [B width]."""
        ids = np.full((len(rows), width), self.pad, dtype=np.int64)
        for i, row in enumerate(rows):
            tokens = self.flat[self.starts[row] : self.starts[row + 1]]
            ids[i, : len(tokens)] = tokens
        return torch.from_numpy(ids)

    def padded(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask of some reports, padded to the longest of them: both int64 [B L]."""
        width = int(self.lengths[rows].max())
        mask = np.arange(width) < self.lengths[rows][:, None]
        return self.batch(rows, width=width), torch.from_numpy(mask.astype(np.int64))


# Texts that are tokenized at a time.
_TEXTS = 4096


def tokenize(
    texts: pa.ChunkedArray | Sequence[str], tokenizer: PreTrainedTokenizerBase, *, max_tokens: int
) -> TokenTable:
    """Token ids of `texts`, cut after `max_tokens`."""
    blocks = _by_piece if reads_by_piece(tokenizer) and max_tokens > 2 else _by_text
    lengths: list[Counts] = []
    parts: list[NDArray[np.int32]] = []
    for flat, counts in blocks(texts, tokenizer, max_tokens):
        parts.append(flat)
        lengths.append(counts)
    starts = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]))]).astype(np.int64)
    flat = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    return TokenTable(flat, starts, pad=int(tokenizer.pad_token_id or 0), special=tuple(tokenizer.all_special_ids))


def _by_text(
    texts: pa.ChunkedArray | Sequence[str], tokenizer: PreTrainedTokenizerBase, limit: int
) -> Iterator[tuple[NDArray[np.int32], Counts]]:
    """Block by block the ids of all texts, one after the other, and how many each has."""
    for start in range(0, len(texts), _TEXTS):  # the tokenizer's own records of a text are many times its ids
        block = texts[start : start + _TEXTS]
        words = block.to_pylist() if isinstance(block, pa.ChunkedArray) else list(block)
        ids: list[list[int]] = tokenizer(words, truncation=True, max_length=limit)["input_ids"]
        yield (
            np.fromiter((token for text in ids for token in text), dtype=np.int32),
            np.array([len(text) for text in ids], np.int64),
        )


def _by_piece(
    texts: pa.ChunkedArray | Sequence[str], tokenizer: PreTrainedTokenizerBase, limit: int
) -> Iterator[tuple[NDArray[np.int32], Counts]]:
    """`_by_text` for a tokenizer that reads from blank to blank: each distinct piece is read once."""
    first, last = tokenizer("")["input_ids"]
    known = PieceNumbers()
    read = TokenTable(np.zeros(0, np.int32), np.zeros(1, np.int64), 0, ())
    for numbers, pieces in known.of(texts):
        read = _extended(read, known.pieces[len(read.lengths) :], tokenizer)
        each = read.lengths[numbers]
        ends = np.concatenate([[0], np.cumsum(each)])
        # Of a text that is too long, the tokens behind the limit go.
        bounds = ends[np.concatenate([[0], np.cumsum(pieces)])]
        whole = np.diff(bounds)
        kept = np.minimum(whole, limit - 2)
        inside = np.arange(ends[-1]) - np.repeat(bounds[:-1], whole) < np.repeat(kept, whole)
        tokens = read.flat[(np.arange(ends[-1]) + np.repeat(read.starts[numbers] - ends[:-1], each))[inside]]
        flat = np.empty(len(tokens) + 2 * len(kept), np.int32)
        stops = np.cumsum(kept + 2)
        edge = np.zeros(len(flat), bool)
        edge[stops - 1] = edge[stops - kept - 2] = True
        flat[~edge] = tokens
        flat[stops - kept - 2], flat[stops - 1] = first, last
        yield flat, kept + 2


def _extended(read: TokenTable, pieces: list[str], tokenizer: PreTrainedTokenizerBase) -> TokenTable:
    """`read` with the ids of further pieces."""
    if not pieces:
        return read
    encoded = tokenizer.backend_tokenizer.encode_batch_fast(pieces, add_special_tokens=False)
    ids = [piece.ids for piece in encoded]
    flat = np.fromiter((token for piece in ids for token in piece), np.int32)
    stops = np.cumsum([len(piece) for piece in ids]) + len(read.flat)
    return replace(read, flat=np.concatenate([read.flat, flat]), starts=np.concatenate([read.starts, stops]))


@dataclass(frozen=True, slots=True)
class Rank:
    """Which part of each batch this process encodes: `index` of `count` equal parts."""

    index: int = 0
    count: int = 1

    def part(self, size: int) -> slice:
        """The rank's slice of a batch of `size`."""
        each = size // self.count
        return slice(self.index * each, (self.index + 1) * each)


@dataclass(frozen=True, slots=True)
class PooledFeatures:
    """What frozen encoders give: a row a study [N F]."""

    images: NDArray[np.float32]
    texts: NDArray[np.float32]


class BatchDataset(Dataset[dict[str, Tensor]]):
    """Item k is batch k of the plan, as tensors.

    Its keys: `index` (k), `rows` [B] (all ranks' studies), and of this rank's b studies `images` uint8 [b S S],
    `input_ids` and `attention_mask` [b L], `word_mask` [b L] (neither padding nor special token), and, where second
    texts are given, `view_ids` and `view_mask`. L is the longest report of the whole batch, so that ranks agree.
    With pooled features it has `image_features` and `text_features` [b F] in the place of images and tokens.
    """

    def __init__(
        self,
        plan: BatchPlan,
        *,
        cache: ImageCache,
        image_rows: NDArray[np.int64],
        tokens: TokenTable,
        views: TokenTable | None = None,
        features: PooledFeatures | None = None,
        rank: Rank | None = None,
    ) -> None:
        self.plan = plan
        self.cache = cache
        self.image_rows = image_rows
        self.tokens = tokens
        self.views = views
        self.features = features
        self.rank = rank or Rank()

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rows = self.plan.rows(index)
        ours = rows[self.rank.part(len(rows))]
        batch = {"index": torch.tensor(index), "rows": torch.from_numpy(rows)}
        if self.features is not None:
            pooled = {"image_features": self.features.images, "text_features": self.features.texts}
            return batch | {name: torch.from_numpy(values[ours]) for name, values in pooled.items()}
        batch["images"] = torch.from_numpy(self.cache[self.image_rows[ours]])
        ids, mask = _padded(self.tokens, rows, ours)
        batch |= {"input_ids": ids, "attention_mask": mask}
        batch["word_mask"] = mask.bool() & ~torch.isin(ids, torch.tensor(self.tokens.special))
        if self.views is not None:
            batch["view_ids"], batch["view_mask"] = _padded(self.views, rows, ours)
        return batch


def _padded(tokens: TokenTable, rows: NDArray[np.int64], ours: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    width = int(tokens.lengths[rows].max())
    # The mask comes from the lengths: a tokenizer may use a padding token inside a text.
    mask = np.arange(width) < tokens.lengths[ours][:, None]
    return tokens.batch(ours, width=width), torch.from_numpy(mask.astype(np.int64))


class FromSampler(Sampler[int]):
    """Batch numbers `start` to `stop`; the length counts from 0, so that the Trainer's sums hold on resume."""

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))

    def __len__(self) -> int:
        return self.stop
