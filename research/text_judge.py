"""Judging similarities of reports by the overlap of their expert codes."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medtrim.evaluation import Figure, PatientBootstrap, make_reference
from medtrim.evaluation.figures import figure_of, mean_values
from medtrim.evaluation.ranking import similarities, unit
from research.ordering import by_query
from research.text_corpus import CodedReports

Floats = NDArray[np.float64]
TASK = "text order"
GROUPS = ("all", "abnormal", "covered")
SELECTED_BY = ("concordance", "ndcg")
NAMES = {"concordance": "concordance", "ndcg": "nDCG@10"}


class TextJudge:
    """Judges similarities of the reports of the validation or test split."""

    def __init__(self, corpus: CodedReports, *, resamples: int, seed: int) -> None:
        self.corpus = corpus
        self.rows = {split: corpus.rows(split) for split in ("val", "test")}
        self.relevance = {
            (split, covered): corpus.overlap(rows, covered=covered)
            for split, rows in self.rows.items()
            for covered in (False, True)
        }
        patients = [corpus.studies[i].patient_id for i in self.rows["test"]]
        self.bootstrap = PatientBootstrap(patients, resamples=resamples, seed=seed)
        listed = "".join(f"{corpus.studies[i].study_id}\x00{corpus.codes[i]}\x01" for i in self.rows["test"])
        self.fingerprint = hashlib.sha256(listed.encode()).hexdigest()[:16]

    def texts(self, split: str) -> list[str]:
        """The reports of a split."""
        return [self.corpus.studies[i].report for i in self.rows[split]]

    def asks(self, split: str, group: str) -> NDArray[np.bool_]:
        """Which reports of a split are queries: abnormal ones, or those with a covered code."""
        known = self.corpus.is_covered if group == "covered" else self.corpus.is_abnormal
        return known(self.rows[split])

    def values(self, similarity: Floats, split: str, group: str, measure: str) -> Floats:
        """A measure of each query of a split.

        Args:
            group: `all` reports as others, `abnormal` ones as others, or all of them by `covered` codes alone.
        """
        asks = self.asks(split, group)
        allowed = ~np.eye(len(similarity), dtype=np.bool_)
        if group == "abnormal":
            allowed &= asks[None, :]
        relevance = self.relevance[split, group == "covered"]
        return by_query(measure, similarity[asks], relevance[asks], allowed[asks])

    def merit(self, similarity: Floats) -> float:
        """What decides on validation: the mean of concordance and nDCG@10 among all reports."""
        means = [np.nanmean(self.values(similarity, "val", "all", measure)) for measure in SELECTED_BY]
        return float(np.mean(means))

    def figures(self, similarity: Floats) -> list[Figure]:
        """All figures of the test split."""
        return [
            _named(
                figure_of(
                    mean_values(NAMES[measure], self.values(similarity, "test", group, measure)),
                    np.flatnonzero(self.asks("test", group)),
                    self.bootstrap,
                    direction="",
                    group=group,
                    own_in_gallery=False,
                )
            )
            for measure in NAMES
            for group in GROUPS
        ]

    def score(self) -> Floats:
        """The symmetric meta-entity score of the test reports, at most 1."""
        reference = make_reference([self.corpus.annotations[i] for i in self.rows["test"]])
        place = {study_id: row for row, study_id in enumerate(reference.study_ids)}
        order = np.array([place[self.corpus.studies[i].study_id] for i in self.rows["test"]])
        return np.asarray(reference.gains(np.arange(len(reference)))[np.ix_(order, order)], np.float64)


def _named(figure: Figure) -> Figure:
    return replace(figure, task=TASK)


def cosine_matrix(vectors: NDArray[np.floating]) -> Floats:
    """Cosine similarities of every pair of rows."""
    rows = unit(np.asarray(vectors))
    return similarities(rows, rows)
