"""Evaluation of an aligned model: retrieval and classification metrics with confidence intervals."""

from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.compare import Difference, compare, compare_seeds, left_out, write_comparison
from medtrim.evaluation.embed import (
    Embeddings,
    embed_images,
    embed_studies,
    embed_texts,
    read_embeddings,
    write_embeddings,
)
from medtrim.evaluation.evaluate import evaluate, evaluate_embeddings, report_prior
from medtrim.evaluation.evaluation_set import EvaluationSet
from medtrim.evaluation.figures import Figure
from medtrim.evaluation.folds import pool_folds
from medtrim.evaluation.options import EvaluationOptions
from medtrim.evaluation.own_embeddings import evaluate_retrieval, gather_embeddings
from medtrim.evaluation.reference import Reference, make_reference
from medtrim.evaluation.result import EvaluationResult, read_evaluation, write_evaluation
from medtrim.evaluation.retrieval import DIRECTION_NAMES, DIRECTIONS
from medtrim.evaluation.truth import annotations_of_column

__all__ = [
    "DIRECTIONS",
    "DIRECTION_NAMES",
    "Difference",
    "Embeddings",
    "EvaluationOptions",
    "EvaluationResult",
    "EvaluationSet",
    "Figure",
    "PatientBootstrap",
    "Reference",
    "annotations_of_column",
    "compare",
    "compare_seeds",
    "embed_images",
    "embed_studies",
    "embed_texts",
    "evaluate",
    "evaluate_embeddings",
    "evaluate_retrieval",
    "gather_embeddings",
    "left_out",
    "make_reference",
    "pool_folds",
    "read_embeddings",
    "read_evaluation",
    "report_prior",
    "write_comparison",
    "write_embeddings",
    "write_evaluation",
]
