"""Corpora in: readers of report and image collections, image decoding and caching, splits, the phantom corpus."""

from medtrim.data.cache import ImageCache
from medtrim.data.check import ImageCheck, check_images
from medtrim.data.corpus import LAYOUTS, Layout, read_corpus
from medtrim.data.images import fit_square, load_image, load_square
from medtrim.data.limits import ImageLimits
from medtrim.data.raw import CorpusReading
from medtrim.data.splits import SPLITS, assign_folds, assign_splits, check_patient_overlap, select_split

__all__ = [
    "LAYOUTS",
    "SPLITS",
    "CorpusReading",
    "ImageCache",
    "ImageCheck",
    "ImageLimits",
    "Layout",
    "assign_folds",
    "assign_splits",
    "check_images",
    "check_patient_overlap",
    "fit_square",
    "load_image",
    "load_square",
    "read_corpus",
    "select_split",
]
