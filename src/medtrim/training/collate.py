"""Batches as tensors: a map-style dataset whose item k is the whole batch k."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase

from medtrim.data import ImageCache
from medtrim.training.batches import BatchPlan


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


def tokenize(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, max_tokens: int) -> TokenTable:
    """Token ids of `texts`, cut after `max_tokens`."""
    parts: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    for start in range(0, len(texts), _TEXTS):  # the tokenizer's own records of a text are many times its ids
        block = list(texts[start : start + _TEXTS])
        ids: list[list[int]] = tokenizer(block, truncation=True, max_length=max_tokens)["input_ids"]
        lengths += map(len, ids)
        parts.append(np.fromiter((token for text in ids for token in text), dtype=np.int32))
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    return TokenTable(flat, starts, pad=int(tokenizer.pad_token_id or 0), special=tuple(tokenizer.all_special_ids))


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
