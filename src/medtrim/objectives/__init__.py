"""Alignment objectives: a batch's embeddings in, named loss terms out. torch only."""

from medtrim.objectives.base import Objective
from medtrim.objectives.inputs import ConceptTensors, Need, ObjectiveInputs, ObjectiveOutput, SimilarityTensors
from medtrim.objectives.registry import OBJECTIVES, build_objective, objective_options

__all__ = [
    "OBJECTIVES",
    "ConceptTensors",
    "Need",
    "Objective",
    "ObjectiveInputs",
    "ObjectiveOutput",
    "SimilarityTensors",
    "build_objective",
    "objective_options",
]
