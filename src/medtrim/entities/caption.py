"""Findings as a caption in canonical words: the same whatever words a hospital reports them in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from medtrim.entities.recognizer import Recognizer
from medtrim.types import DISEASES, Finding

NORMAL = "no finding"


def caption(findings: Iterable[Finding], *, diseases: Sequence[str] = DISEASES) -> str:
    """Present and uncertain findings of `diseases`, one a sentence: adjectives, directions, disease.

    Equal sets of findings give equal captions, whatever their order. What is said twice is said once, with more
    detail; denied findings are left out, and a report without a finding is "no finding". Devices, diseases that the
    score does not count, changes and measures are not said.

    Example:
        >>> caption([Finding("pleural effusion", "uncertain", ("small",), ("left",))])
        'possible small left pleural effusion'
    """
    rank = {disease: i for i, disease in enumerate(diseases)}
    told = [f for f in findings if f.disease in rank and f.assertion != "absent"]
    said = {
        (rank[f.disease], " ".join([*f.adjectives, *f.directions, f.disease]), f.assertion == "uncertain")
        for f in told
        if not any(_says_more(other, f) for other in told)
    }
    return ". ".join(("possible " if uncertain else "") + words for _, words, uncertain in sorted(said)) or NORMAL


def _says_more(other: Finding, finding: Finding) -> bool:
    """Whether `other` is the same finding with more detail, as an impression often repeats one with less."""
    if (other.disease, other.assertion) != (finding.disease, finding.assertion):
        return False
    ours = {*finding.adjectives, *finding.directions}
    return ours < {*other.adjectives, *other.directions}


def texts_to_read(texts: Sequence[str], reads: str) -> list[str]:
    """Texts as a model's text side takes them: as they are, or as captions where it `reads` findings."""
    return captions_of(texts) if reads == "findings" else list(texts)


def captions_of(texts: Iterable[str], recognizer: Recognizer | None = None) -> list[str]:
    """What OBER reads in each text, as a caption; a text in which it reads nothing stays as it is.

    Args:
        texts: whole reports or single phrases.
        recognizer: one with the default ontology where None.
    """
    recognizer = recognizer or _default()
    captions = []
    for text in texts:
        findings, read = recognizer.read_text(text)
        captions.append(caption(findings) if read else text)
    return captions


@cache
def _default() -> Recognizer:
    return Recognizer()
