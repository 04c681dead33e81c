"""Pooled features of frozen encoders, worked out once: a head is then trained in seconds.

With `model.frozen` nothing below the projections is trained: what comes out there is the same at every step.
Images, reports and captions are pooled once and kept in the folder `features` of the image cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import VisionTextDualEncoderModel

from medtrim.data import ImageCache
from medtrim.errors import TableError
from medtrim.models import EncoderBundle, to_pixel_values
from medtrim.training.collate import TokenTable, tokenize
from medtrim.training.concepts import ConceptTable
from medtrim.training.config import TrainConfig
from medtrim.types.tables import Progress, atomic_path, no_progress

Floats = NDArray[np.float32]
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Captions:
    """The captions of a concept table as inputs of the text encoder.

    Attributes:
        table: the concepts.
        tokens: of `table.captions`.
        features: their pooled vectors [M F], where the encoders are frozen.
        seed: of the draws.
    """

    table: ConceptTable
    tokens: TokenTable
    features: Floats | None
    seed: int

    def of(self, index: int, device: torch.device) -> dict[str, Tensor]:
        """Inputs of two captions a concept, affirming and denying in turn, for batch number `index`."""
        rows = self.table.draw(np.random.default_rng([self.seed, index])).ravel()
        if self.features is not None:
            return {"features": torch.from_numpy(self.features[rows]).to(device)}
        ids, mask = self.tokens.padded(rows)
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


def make_captions(table: ConceptTable, bundle: EncoderBundle, cache: ImageCache, config: TrainConfig) -> Captions:
    """The captions of `table`, tokenised or, with frozen encoders, pooled."""
    tokens = tokenize(table.captions, bundle.tokenizer, max_tokens=bundle.max_tokens)
    features = pooled_texts(bundle, cache, tokens) if config.model.frozen else None
    return Captions(table, tokens, features, config.seed)


def freeze_towers(model: VisionTextDualEncoderModel) -> None:
    """Stop the gradients of everything below the projections."""
    model.vision_model.requires_grad_(False)
    model.text_model.requires_grad_(False)


def pooled_images(
    bundle: EncoderBundle, cache: ImageCache, rows: NDArray[np.int64], *, progress: Progress = no_progress
) -> Floats:
    """The vision tower's pooled vectors of cached images [N F], kept beside the image cache.

    Their file is named by a hash of the tower's weights, the processor and the pixels' checksums.

    Raises:
        TableError: a vector is not finite, or the file cannot be written.
    """
    checksums = cache.checksums()
    facts = repr((bundle.image_processor.to_dict(), cache.format)).encode()
    pixels = np.array([checksums[int(row)] for row in rows], np.int64).tobytes()

    def pool() -> Floats:
        # With channels innermost convolutions on a CPU take two thirds of the time; sums differ in their last bits.
        tower: nn.Module = bundle.model.vision_model
        tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        parts = []
        for start in range(0, len(rows), _BATCH):
            images = torch.from_numpy(cache[rows[start : start + _BATCH]]).to(bundle.model.device)
            with torch.inference_mode():
                values = to_pixel_values(images, bundle.image_processor)
                values = values.contiguous(memory_format=torch.channels_last)
                parts.append(tower(values).pooler_output.float().cpu().numpy())
            progress(min(start + _BATCH, len(rows)), len(rows))
        tower.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return np.concatenate(parts).astype(np.float32)

    shape = (len(rows), bundle.model.visual_projection.in_features)
    return _kept(cache, (_weights(bundle.model.vision_model), facts, pixels), shape, pool)


def pooled_texts(bundle: EncoderBundle, cache: ImageCache, table: TokenTable) -> Floats:
    """The text tower's pooled vectors of tokenised texts [N F], kept like those of the images.

    Each distinct text is encoded once.

    Raises:
        TableError: as `pooled_images`.
    """
    shape = (len(table.lengths), bundle.model.text_projection.in_features)
    facts = (_weights(bundle.model.text_model), table.flat.tobytes(), table.starts.tobytes())
    return _kept(cache, facts, shape, lambda: _pool_texts(bundle, table, shape))


def _pool_texts(bundle: EncoderBundle, table: TokenTable, shape: tuple[int, int]) -> Floats:
    ids = [table.flat[a:b].tobytes() for a, b in zip(table.starts[:-1], table.starts[1:], strict=True)]
    row_of: dict[bytes, int] = {}
    for row, text in enumerate(ids):
        row_of.setdefault(text, row)
    first = np.fromiter(row_of.values(), np.int64, len(row_of))
    order = first[np.argsort(table.lengths[first], kind="stable")]
    features = np.zeros(shape, np.float32)
    device = bundle.model.device
    for start in range(0, len(order), _BATCH):
        ids_of, mask = table.padded(order[start : start + _BATCH])
        with torch.inference_mode():
            output = bundle.model.text_model(input_ids=ids_of.to(device), attention_mask=mask.to(device))
        features[order[start : start + _BATCH]] = output.pooler_output.float().cpu().numpy()
    return features[[row_of[text] for text in ids]]


def _kept(cache: ImageCache, facts: Iterable[bytes], shape: tuple[int, int], make: Callable[[], Floats]) -> Floats:
    """What `make` gives, from the file named by a hash of `facts` where it is there already."""
    whole = hashlib.sha256()
    for fact in facts:
        whole.update(hashlib.sha256(fact).digest())
    path = cache.path / "features" / f"{whole.hexdigest()[:24]}.npy"
    try:
        found = np.load(path, allow_pickle=False)
        if found.shape == shape:
            return np.asarray(found, np.float32)
    except (OSError, ValueError, EOFError):
        pass  # not there, or torn: it is made anew
    features = make()
    if not np.isfinite(features).all():
        raise TableError("a frozen encoder gives features that are not finite")
    with atomic_path(path) as part, part.open("wb") as file:
        np.save(file, features, allow_pickle=False)
    return features


def _weights(tower: nn.Module) -> bytes:
    whole = hashlib.sha256()
    for name, value in sorted(tower.state_dict().items()):
        whole.update(name.encode())
        whole.update(value.detach().cpu().contiguous().numpy().tobytes())
    return whole.digest()
