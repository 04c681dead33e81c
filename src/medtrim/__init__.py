"""MedTrim: align chest X-rays with their reports by what the reports say, down to side, zone, size and severity.

The names below are the public library; each is loaded when it is first used, so that `import medtrim` costs a few
milliseconds. docs/api describes them by task.

The packages, top to bottom: `types` and `errors`; `entities`, `mining`, `data`, `models`, `objectives`;
`training` and `evaluation`; `search`; `library`; `experiments`; `cli`. A package imports those before it only.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medtrim.entities import Recognizer, load_ontology
    from medtrim.evaluation import compare, evaluate_retrieval
    from medtrim.library.losses import AlignmentLoss, MedTrimLoss, TripletLoss
    from medtrim.library.models import embed_studies, load_model, train
    from medtrim.library.reports import annotate, findings_table
    from medtrim.library.scores import explain_score, score_matrix
    from medtrim.library.targets import FindingTargets
    from medtrim.library.triplets import mine_triplets
    from medtrim.objectives import build_objective
    from medtrim.search.query import Query
    from medtrim.search.searcher import Searcher

    __version__: str

__all__ = [
    "AlignmentLoss",
    "FindingTargets",
    "MedTrimLoss",
    "Query",
    "Recognizer",
    "Searcher",
    "TripletLoss",
    "__version__",
    "annotate",
    "build_objective",
    "compare",
    "embed_studies",
    "evaluate_retrieval",
    "explain_score",
    "findings_table",
    "load_model",
    "load_ontology",
    "mine_triplets",
    "score_matrix",
    "train",
]

# Public name → module that has it.
_MODULES = {
    "AlignmentLoss": "medtrim.library.losses",
    "FindingTargets": "medtrim.library.targets",
    "MedTrimLoss": "medtrim.library.losses",
    "Query": "medtrim.search.query",
    "Recognizer": "medtrim.entities",
    "Searcher": "medtrim.search.searcher",
    "TripletLoss": "medtrim.library.losses",
    "annotate": "medtrim.library.reports",
    "build_objective": "medtrim.objectives",
    "compare": "medtrim.evaluation",
    "embed_studies": "medtrim.library.models",
    "evaluate_retrieval": "medtrim.evaluation",
    "explain_score": "medtrim.library.scores",
    "findings_table": "medtrim.library.reports",
    "load_model": "medtrim.library.models",
    "load_ontology": "medtrim.entities",
    "mine_triplets": "medtrim.library.triplets",
    "score_matrix": "medtrim.library.scores",
    "train": "medtrim.library.models",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name == "__version__":
        from medtrim.types.provenance import medtrim_version

        value: Any = medtrim_version()
    elif name in _MODULES:
        value = getattr(importlib.import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'medtrim' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
