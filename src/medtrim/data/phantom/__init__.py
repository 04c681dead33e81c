"""The built-in corpus: drawn frontal chest radiographs with reports that describe what was drawn."""

from medtrim.data.phantom.case import Case, Lesion, Patient, Technique
from medtrim.data.phantom.corpus import make_corpus
from medtrim.data.phantom.draw import draw
from medtrim.data.phantom.report import write_report
from medtrim.data.phantom.sampling import sample_case, sample_patient

__all__ = [
    "Case",
    "Lesion",
    "Patient",
    "Technique",
    "draw",
    "make_corpus",
    "sample_case",
    "sample_patient",
    "write_report",
]
