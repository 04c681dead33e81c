"""What a corpus says near its findings that the ontology does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from medtrim.entities.lexicon import DESCRIPTOR, Kind
from medtrim.entities.matcher import Item, find_matches, resolve_overlaps
from medtrim.entities.ontology import Ontology
from medtrim.entities.reader import SentenceReader
from medtrim.entities.tokens import Tokens, split_sentences, tokenize
from medtrim.types import Study

UNREAD = pa.schema(
    [
        ("study_id", pa.string()),
        ("read", pa.bool_()),
        ("characters", pa.int64()),
        ("known", pa.float64()),
        ("unknown", pa.list_(pa.string())),
    ]
)
_NEAR = int(Kind.FINDING | Kind.CHANGE | DESCRIPTOR)
# Words of the language rather than of radiology.
_STOP = frozenset(
    {
        "a", "an", "and", "any", "as", "at", "be", "been", "by", "can", "could", "did", "do", "does", "for",
        "from", "had", "has", "have", "her", "his", "i", "if", "in", "into", "is", "it", "its", "may", "more",
        "most", "no", "not", "of", "on", "only", "or", "other", "our", "over", "patient", "per", "she", "he",
        "should", "so", "some", "such", "than", "that", "the", "their", "then", "there", "these", "they",
        "this", "those", "to", "was", "we", "were", "what", "when", "which", "while", "will", "with", "would",
        "also", "am", "pm", "mm", "cm",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class UnknownPhrase:
    """A run of words the ontology does not know: how often it stands near a finding, and in how many reports."""

    phrase: str
    count: int
    reports: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a corpus the ontology knows.

    `words` counts the words of sentences that name a finding or descriptor, stop words and numbers aside; `known`
    those that are part of a matched phrase. `unknown` are the frequent rest, most frequent first, ties by alphabet.
    """

    reports: int
    sentences: int
    words: int
    known: int
    unknown: tuple[UnknownPhrase, ...]


@dataclass(frozen=True, slots=True)
class Unread:
    """What a report says that the ontology does not know.

    `words` are its unknown words in order of appearance, each once; `known` is the share of its words that are
    known, stop words included: far below a half, the report is in another language.
    """

    words: tuple[str, ...]
    known: float


def unknown_words(texts: Iterable[str], reader: SentenceReader) -> Unread:
    """The words of `texts` that are part of no phrase of the ontology."""
    unknown: dict[str, None] = {}
    count = known = 0
    for text in texts:
        for span in split_sentences(text):
            tokens = tokenize(text[span.start : span.end])
            matched = {k for item in find_matches(tokens, reader.lexicon) for k in range(item.start, item.end)}
            for k, word in enumerate(tokens.words):
                if not word.isalpha():
                    continue
                count += 1
                if k in matched or word in _STOP:
                    known += 1
                else:
                    unknown[word] = None
    return Unread(tuple(unknown), known / count if count else 0.0)


def unread_table(studies: Iterable[Study], unread: Collection[str], ontology: Ontology) -> pa.Table:
    """What was not read: one row a study whose report was not, or of whose report a part stands in no section.

    `characters` counts that part; `known` is the share of the words that are known, `unknown` lists the others,
    both only where nothing was read.
    """
    reader, wanted = SentenceReader(ontology), frozenset(unread)
    rows: list[tuple[str, bool, int, float | None, list[str]]] = []
    for study in studies:
        if study.study_id in wanted:
            said = unknown_words((study.findings, study.impression), reader)
            rows.append((study.study_id, False, study.unread, said.known, list(said.words)))
        elif study.unread:
            rows.append((study.study_id, True, study.unread, None, []))
    columns = zip(*rows, strict=True) if rows else [[] for _ in UNREAD]
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, UNREAD, strict=True)], schema=UNREAD)


def measure_coverage(
    studies: Iterable[Study],
    ontology: Ontology,
    *,
    window: int = 4,
    longest: int = 3,
    least: int = 3,
    limit: int = 100,
) -> Coverage:
    """Count the unmatched n-grams near findings and descriptors.

    Args:
        studies: the corpus.
        ontology: what is known.
        window: how many words from a matched finding or descriptor a word may stand to count as near.
        longest: the longest n-gram counted.
        least: n-grams seen less often are left out.
        limit: at most so many n-grams.
    """
    reader = SentenceReader(ontology)
    read: dict[str, tuple[int, int, tuple[str, ...]]] = {}
    counts: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    reports = sentences = words = known = 0
    for study in studies:
        reports += 1
        found: list[str] = []
        for text in (study.findings, study.impression):
            for span in split_sentences(text):
                sentence = text[span.start : span.end]
                if sentence not in read:
                    read[sentence] = _read(sentence, reader, window, longest)
                total, matched, phrases = read[sentence]
                sentences += 1
                words += total
                known += matched
                found.extend(phrases)
        counts.update(found)
        inside.update(dict.fromkeys(found, 1))
    unknown = sorted((p for p in counts if counts[p] >= least), key=lambda p: (-counts[p], p))[:limit]
    return Coverage(
        reports, sentences, words, known, tuple(UnknownPhrase(p, counts[p], inside[p]) for p in unknown)
    )


def _read(sentence: str, reader: SentenceReader, window: int, longest: int) -> tuple[int, int, tuple[str, ...]]:
    """Words and known words of a sentence, and the unknown n-grams near what it names."""
    tokens = tokenize(sentence)
    items = resolve_overlaps(find_matches(tokens, reader.lexicon))
    near = [item for item in items if item.kinds & _NEAR]
    if not near:
        return 0, 0, ()
    matched = {k for item in items for k in range(item.start, item.end)}
    content = [k for k, word in enumerate(tokens.words) if word.isalpha() and word not in _STOP]
    known = sum(k in matched for k in content)
    phrases = tuple(_ngrams(tokens, set(content) - matched, near, window, longest))
    return len(content), known, phrases


def _ngrams(tokens: Tokens, unknown: set[int], near: list[Item], window: int, longest: int) -> Iterator[str]:
    for first in sorted(unknown):
        if not any(item.start - window <= first < item.end + window for item in near):
            continue
        for length in range(1, longest + 1):
            run = range(first, first + length)
            if not all(k in unknown for k in run):
                break
            yield " ".join(tokens.words[k] for k in run)
