"""What the model reads in a picture by itself: diseases, side and severity, as calibrated probabilities.

Zero-shot: a picture is compared with prompts that affirm and deny a disease (`evaluation.prompts`), or that name
the two ends of side or severity. The difference of the two cosines becomes a probability by a logistic function for
each question (Platt 1999), fitted on studies that the model was not trained on, against what their reports say.
What too few of those studies show is "not validated" and gets no probability.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from medtrim.evaluation.prompts import PromptConfig, PromptPair, contrasts_of, disease_prompts, load_prompts
from medtrim.evaluation.ranking import unit
from medtrim.search.encoder import QueryEncoder, Vectors
from medtrim.search.query import FindingQuery
from medtrim.types import DISEASES, Annotation, Contradictions

FEWEST = 20
"""Studies that each answer to a question needs in the calibration set."""

AXES = ("side", "severity")
FOLDS, BINS = 5, 10
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Platt:
    """Probability 1 / (1 + exp(-(slope · score + intercept))), fitted on `count` studies, `positive` with it."""

    slope: float
    intercept: float
    count: int
    positive: int

    def probability(self, score: float) -> float:
        """The probability in (0, 1) at a difference of cosines in [-2, 2]."""
        return float(1 / (1 + np.exp(-(self.slope * score + self.intercept))))


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of one disease.

    Args:
        probability: that it is there, in [0, 1]; None where the model was never validated on it.
        side, severity: probabilities of the two ends, given that it is there; empty where not validated.
    """

    disease: str
    probability: float | None
    side: Mapping[str, float] = field(default_factory=dict)
    severity: Mapping[str, float] = field(default_factory=dict)


class Readout:
    """Reads pictures with one model, as calibrated by `calibrate`.

    Args:
        calibration: what `calibrate` gives.
    """

    def __init__(self, calibration: Mapping[str, Any], encoder: QueryEncoder) -> None:
        self.calibration = calibration
        config = load_prompts()
        self._questions = {
            key: (direction(pair, encoder), Platt(**calibration["questions"][key]))
            for key, pair, _ in questions(config)
            if key in calibration["questions"]
        }

    def read(self, vector: NDArray[np.float32]) -> tuple[Reading, ...]:
        """What a picture's unit vector [D] says of every disease, likeliest first, those not validated last."""
        found = []
        for disease in DISEASES:
            ends: dict[str, dict[str, float]] = {axis: {} for axis in AXES}
            for axis in AXES:
                probability = self._ask(f"{disease}|{axis}", vector)
                if probability is not None:
                    first, second = ENDS[axis]
                    ends[axis] = {first: probability, second: 1 - probability}
            found.append(Reading(disease, self._ask(disease, vector), **ends))
        return tuple(sorted(found, key=lambda r: (-(r.probability or -1.0), r.disease)))

    def match(self, query: FindingQuery, vector: NDArray[np.float32]) -> float | None:
        """The probability that a picture shows what `query` asks for (denied: does not); None: not known.

        Where descriptors are asked for too it is not known: ranking by the disease alone was worse there than by
        the embedding, which has read them.
        """
        found = None if query.descriptors else self._ask(query.disease, vector)
        return found if found is None or not query.denied else 1 - found

    def _ask(self, key: str, vector: NDArray[np.float32]) -> float | None:
        if key not in self._questions:
            return None
        towards, platt = self._questions[key]
        return platt.probability(float(vector @ towards))


ENDS = {"side": ("right", "left"), "severity": ("large", "small")}
"""The words for the two ends of an axis, that of a high score first; mild is as small, severe as large."""

_LEVELS = {"side": (1, 0), "severity": (2, 0)}


def questions(config: PromptConfig) -> Iterator[tuple[str, PromptPair, str]]:
    """Key, prompts and axis (empty: presence) of everything that can be asked."""
    for disease in DISEASES:
        yield disease, disease_prompts(config, disease), ""
        for contrast in contrasts_of(config, disease):
            if contrast.axis in AXES:
                yield f"{disease}|{contrast.axis}", contrast.prompts, contrast.axis


def direction(pair: PromptPair, encoder: QueryEncoder) -> Vectors:
    """The vector [D] whose product with a picture's is cos(picture, affirming) - cos(picture, denying)."""
    sides = ([encoder.as_read(text) for text in texts] for texts in (pair.positive, pair.negative))
    ends = [unit(encoder.texts(texts).mean(axis=0, keepdims=True))[0] for texts in sides]
    return np.asarray(ends[0] - ends[1], dtype=np.float32)


def calibrate(
    vectors: Vectors,
    annotations: Sequence[Annotation],
    patients: Sequence[str],
    encoder: QueryEncoder,
    contradictions: Contradictions,
) -> dict[str, Any]:
    """Fit a Platt function for each question that enough studies answer.

    Args:
        vectors: [N D] unit vectors of one picture a study.
        annotations: what the reports of these studies say; studies that are not read are left out.
        patients: of these studies; reliability is measured on patients that the function was not fitted on.

    Returns:
        `questions` (key → parameters), `studies`, and `reliability` of the diseases: up to ten bins of (mean
        predicted, share observed, count), and `error`, their mean absolute difference weighted by count.
    """
    read = [i for i, a in enumerate(annotations) if a.read]
    groups = np.asarray([patients[i] or f"study {annotations[i].study_id}" for i in read])
    fitted: dict[str, dict[str, float]] = {}
    predicted, observed = [], []
    for key, pair, axis in questions(load_prompts()):
        answers = [_answer(annotations[i], key.partition("|")[0], axis, contradictions) for i in read]
        kept = np.flatnonzero([a is not None for a in answers])
        positive = np.asarray([answers[i] for i in kept], dtype=bool)
        if min(positive.sum(), len(positive) - positive.sum()) < FEWEST:
            continue
        scores = np.asarray(vectors[[read[i] for i in kept]] @ direction(pair, encoder), dtype=np.float64)
        fitted[key] = asdict(fit(scores, positive))
        if not axis and len(set(groups[kept])) >= FOLDS:
            for train, test in GroupKFold(FOLDS).split(scores, groups=groups[kept]):
                if 0 < positive[train].sum() < len(train):
                    platt = fit(scores[train], positive[train])
                    predicted += [platt.probability(s) for s in scores[test]]
                    observed += positive[test].tolist()
    return {"questions": fitted, "studies": len(read)} | reliability(np.array(predicted), np.array(observed))


def fit(scores: Scores, positive: NDArray[np.bool_]) -> Platt:
    """The Platt function of scores [N]."""
    model = LogisticRegression(C=1e6).fit(scores[:, None], positive)
    return Platt(float(model.coef_[0, 0]), float(model.intercept_[0]), len(positive), int(positive.sum()))


def reliability(predicted: Scores, observed: NDArray[Any]) -> dict[str, Any]:
    """Predicted against observed by tenths of probability, and their expected difference."""
    place = np.minimum((predicted * BINS).astype(int), BINS - 1)
    bins = [
        (float(predicted[place == b].mean()), float(observed[place == b].mean()), int((place == b).sum()))
        for b in range(BINS)
        if (place == b).any()
    ]
    total = sum(n for *_, n in bins)
    error = sum(abs(p - o) * n for p, o, n in bins) / total if total else None
    return {"reliability": [[round(p, 4), round(o, 4), n] for p, o, n in bins], "error": error}


def _answer(annotation: Annotation, disease: str, axis: str, contradictions: Contradictions) -> bool | None:
    """What the report says: is it there, or is it the first end of the axis; None where it does not say."""
    own = [f for f in annotation.findings if f.disease == disease]
    present = [f for f in own if f.assertion == "present"]
    if not axis:
        return bool(present) if present or all(f.assertion == "absent" for f in own) else None
    levels = {n for f in present for n in contradictions.levels(axis, (*f.adjectives, *f.directions))}
    high, low = _LEVELS[axis]
    return None if len(levels) != 1 or not levels <= {high, low} else levels == {high}
