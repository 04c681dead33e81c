"""OBER: ontology-based entity recognition. Reports in, findings with their descriptors and assertions out."""

from medtrim.entities.assertion import SpanAssertion, assert_span
from medtrim.entities.caption import captions_of, texts_to_read
from medtrim.entities.corpus import annotate_batches, annotate_corpus
from medtrim.entities.ontology import Ontology, load_ontology
from medtrim.entities.recognizer import Recognizer
from medtrim.entities.sections import split_sections

__all__ = [
    "Ontology",
    "Recognizer",
    "SpanAssertion",
    "annotate_batches",
    "annotate_corpus",
    "assert_span",
    "captions_of",
    "load_ontology",
    "split_sections",
    "texts_to_read",
]
