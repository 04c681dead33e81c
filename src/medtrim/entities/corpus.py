"""A corpus of studies in, their annotations out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from medtrim.entities.ontology import Ontology
from medtrim.entities.recognizer import Recognizer
from medtrim.types import Annotation, Study
from medtrim.types.tables import Progress, no_progress


def annotate_corpus(
    studies: Iterable[Study],
    *,
    ontology: Ontology | None = None,
    progress: Progress = no_progress,
) -> Iterator[Annotation]:
    """Annotations in the order of `studies`."""
    recognizer = Recognizer(ontology)
    total = len(studies) if isinstance(studies, list | tuple) else 0
    for done, study in enumerate(studies, start=1):
        yield recognizer.annotate(study)
        if done % 500 == 0 or done == total:
            progress(done, total)
