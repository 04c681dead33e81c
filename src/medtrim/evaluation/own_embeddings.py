"""Retrieval metrics of the embeddings of any model: arrays, tensors or a table, matched by study id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from medtrim.errors import EmbeddingsError
from medtrim.evaluation.embed import Embeddings, check_vectors, read_vectors, rows_of
from medtrim.evaluation.evaluate import evaluate_embeddings
from medtrim.evaluation.evaluation_set import EvaluationSet
from medtrim.evaluation.options import EvaluationOptions
from medtrim.evaluation.result import EvaluationResult
from medtrim.evaluation.retrieval import DIRECTIONS
from medtrim.types.sources import AnnotationSource, load_annotations

Ids = tuple[str, ...]


@runtime_checkable
class _Tensor(Protocol):
    """What a PyTorch tensor has and a NumPy array has not."""

    def detach(self) -> Any:
        """The tensor without its gradient."""


VectorSource: TypeAlias = Path | str | Mapping[str, Any] | Sequence[Sequence[float]] | NDArray[Any] | _Tensor


def evaluate_retrieval(
    image_embeddings: VectorSource,
    text_embeddings: VectorSource,
    annotations: AnnotationSource,
    *,
    study_ids: Sequence[str] | None = None,
    text_ids: Sequence[str] | None = None,
    patients: Mapping[str, str] | None = None,
    directions: Sequence[str] = DIRECTIONS,
    resamples: int = 1000,
    seed: int = 0,
    method: str = "embeddings",
) -> EvaluationResult:
    """Retrieval metrics of any model's embeddings (docs/evaluation.md defines each), with 95 % intervals.

    Images, texts and findings are matched by study id, whatever their order. Each side is one of

    * an array or tensor [studies, dimension] of any length and precision; its ids are in `study_ids`;
    * a mapping study id → vector;
    * the path of a Parquet table with columns `study_id`, `vector` and, where one table holds both sides,
      `modality` (`image` or `text`).

    Args:
        image_embeddings, text_embeddings: one vector a study and side, both sides of the same studies and width.
        annotations: what is true: an annotations table (its path or the table) or records; further studies in it
            are passed over.
        study_ids: ids of the rows of an array, of both sides unless `text_ids` is given.
        text_ids: ids of the text rows, where these are in another order.
        patients: study id → patient id, by which intervals are resampled; without it every study counts as a
            patient of its own, and intervals are too narrow where patients have several.
        directions: among `i2t`, `t2i`, `i2i`, `t2t` (query to gallery).
        resamples, seed: of the bootstrap.
        method: the name in tables.

    Returns:
        The figures of retrieval and two diagnostics of the space; `result.figure("disease P@10", direction="i2t")`,
        `result.to_table()`, and `medtrim.compare(first, second)` for two models on the same studies.

    Raises:
        EmbeddingsError: ids are missing, repeated, or not those of the other side or the annotations; widths
            differ; a number is not finite.
        TableError: a table cannot be read. ConfigError: an unknown direction.

    Examples:
        >>> import medtrim, numpy as np
        >>> reports = ["Left effusion.", "Large left effusion.", "Right effusion.", "No effusion."]
        >>> truth = medtrim.annotate(reports, study_ids=["a", "b", "c", "d"])
        >>> images = {"d": [0, 0, 1], "c": [0, 1, 0], "b": [1, 0.1, 0], "a": [1, 0, 0]}  # in any order
        >>> texts = np.array([[1, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0, 0, 1]])
        >>> result = medtrim.evaluate_retrieval(images, texts, truth, text_ids=["a", "b", "c", "d"])
        >>> result.figure("R@1", direction="i2t").value
        1.0
    """
    embeddings = gather_embeddings(image_embeddings, text_embeddings, study_ids=study_ids, text_ids=text_ids)
    truth = load_annotations(annotations)
    options = EvaluationOptions(
        directions=directions,
        resamples=resamples,
        seed=seed,
        zero_shot=False,
        probes=False,
        contradictions=truth.contradictions,
    )
    by_study = patients if patients is not None else {s: s for s in embeddings.study_ids}
    test = EvaluationSet.align(embeddings, truth.annotations, by_study, options=options)
    return evaluate_embeddings(test, method=method, options=options)


def gather_embeddings(
    image: VectorSource,
    text: VectorSource,
    *,
    study_ids: Sequence[str] | None = None,
    text_ids: Sequence[str] | None = None,
) -> Embeddings:
    """Both sides of the same studies, in the order of the image rows.

    Arguments and errors are those of `evaluate_retrieval`.
    """
    image_ids, images = _vectors(image, "image", study_ids)
    ids_of_text, texts = _vectors(text, "text", text_ids if text_ids is not None else study_ids)
    rows = rows_of(ids_of_text, image_ids, have="text embeddings", want="image embeddings")
    return Embeddings(image_ids, images, texts[rows])


def _vectors(source: VectorSource, side: str, ids: Sequence[str] | None) -> tuple[Ids, NDArray[np.float32]]:
    if isinstance(source, Path | str):
        return read_vectors(source, side)
    if isinstance(source, Mapping):
        named: Ids = tuple(source)
        rows = [_array(vector, side) for vector in source.values()]
        widths = sorted({row.shape for row in rows})
        if len(widths) != 1 or len(widths[0]) != 1:
            raise EmbeddingsError(
                f"{side} embeddings have shapes {[list(w) for w in widths]}; all must be [dimension]"
            )
        vectors = np.stack(rows)
    else:
        if ids is None:
            raise EmbeddingsError(
                f"{side} embeddings are an array without study ids: name its rows with study_ids"
                + ("" if side == "image" else " or text_ids")
                + ", or give a mapping study id → vector or a table"
            )
        named, vectors = tuple(ids), _array(source, side)
    check_vectors(vectors, named, side=side)
    return named, vectors


def _array(values: Any, side: str) -> NDArray[np.float32]:
    if isinstance(values, _Tensor):
        values = values.detach().float().cpu().numpy()
    try:
        return np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise EmbeddingsError(
            f"{side} embeddings are no array of numbers: received {type(values).__name__}"
        ) from error
