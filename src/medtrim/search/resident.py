"""An archive in memory: its vectors, and what its studies are filtered and ranked by.

A query is compared with every vector that its conditions allow, so that nothing is approximate: with many, in one
pass over all vectors, which serves every further set of conditions of the same query; with few, with those alone.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from medtrim.search.filters import Among, Between, Condition, Every, Flag, Marked, Not, facets
from medtrim.types import NO_FINDING, Contradictions, Finding

WHOLE_ROWS = 50_000
"""Rows up to which vectors are kept as float32; larger archives keep float16, half the memory and time.

A similarity is then off by some 1e-5: the best candidates are compared again in float32 arithmetic, since a float16
sum would be off by 2e-4.
"""

FEW = 6
"""Where one row in so many is allowed, their vectors are gathered instead of comparing with all."""

KEPT_CONDITIONS, KEPT_CANDIDATES = 256, 50_000
_MARGIN, _COMPARED_AGAIN, _WORTH_THREADS = 64, 4, 10_000
_BLOCK = 128

Places = NDArray[np.int64]
Similarities = NDArray[np.float32]
Allowed = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a study is ranked by; `findings` are without mentions.

    Args:
        row: names the image where ids must not be named, such as in addresses of pictures.
        read: whether something is recognised in the report; where not, the study is not known to be normal.
    """

    row: int
    study_id: str
    patient_id: str = ""
    findings: tuple[Finding, ...] = ()
    read: bool = True


def encode_finding(finding: Finding) -> str:
    """What a finding says, without where it says so, as a text that can be compared."""
    parts = (finding.disease, finding.assertion, finding.adjectives, finding.directions, finding.change)
    return json.dumps(parts, separators=(",", ":"))


@lru_cache(maxsize=1 << 16)
def decode_finding(text: str) -> Finding:
    """The finding of `encode_finding`."""
    disease, assertion, adjectives, directions, change = json.loads(text)
    return Finding(disease, assertion, tuple(adjectives), tuple(directions), change=change)


class ResidentArchive:
    """The rows of one version of an index, in memory, in the order of their numbers.

    Args:
        table: columns `row`, `study_id`, `patient_id`, `read`, `text_row`, `said`, and those that filters name.
        contradictions: those that the index's facets were made with.
    """

    def __init__(self, table: pa.Table, contradictions: Contradictions) -> None:
        table = table.take(pc.sort_indices(table["row"])).combine_chunks()
        self.rows: Places = table["row"].to_numpy()
        self._columns = {n: table[n].combine_chunks() for n in table.column_names if n not in ("row", "said")}
        said = table["said"].combine_chunks()
        said = said.chunk(0) if isinstance(said, pa.ChunkedArray) else said
        self._starts: Places = said.offsets.to_numpy().astype(np.int64)
        encoded = said.values.dictionary_encode()
        self._codes = encoded.indices.to_numpy(zero_copy_only=False)
        self._findings = tuple(decode_finding(text) for text in encoded.dictionary.to_pylist())
        self._marks = tuple(
            frozenset(facets([f], read=False, contradictions=contradictions)) for f in self._findings
        )
        self._candidates: dict[int, Candidate] = {}
        self._vectors: dict[str, torch.Tensor] = {}
        self._masks: OrderedDict[Condition, NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.rows)

    def hold(self, side: str, vectors: torch.Tensor) -> None:
        """Take in the unit vectors [N D] of `side`, in the order of `rows`."""
        self._vectors[side] = vectors

    def holds(self, side: str) -> bool:
        """Whether the vectors of `side` are here."""
        return side in self._vectors

    def vectors(self, side: str) -> torch.Tensor:
        """The vectors [N D] of `side`, float32 or float16."""
        return self._vectors[side]

    def candidate(self, place: int) -> Candidate:
        """The study in `rows[place]`."""
        found = self._candidates.get(place)
        if found is None:
            codes = self._codes[self._starts[place] : self._starts[place + 1]]
            text = {name: self._columns[name][place].as_py() for name in ("study_id", "patient_id", "read")}
            found = Candidate(int(self.rows[place]), findings=tuple(self._findings[c] for c in codes), **text)
            if len(self._candidates) >= KEPT_CANDIDATES:
                self._candidates.clear()
            self._candidates[place] = found
        return found

    def allowed(self, conditions: Sequence[Condition]) -> Allowed | None:
        """Which rows fulfil all `conditions`; None where there are none."""
        found: Allowed | None = None
        for condition in conditions:
            mask = self._mask(condition)
            found = mask if found is None else found & mask
        return found

    def _mask(self, condition: Condition) -> Allowed:
        """Which rows fulfil `condition`; those asked lately are kept, a bit for each row."""
        with self._lock:
            bits = self._masks.get(condition)
            if bits is not None:
                self._masks.move_to_end(condition)
                return np.unpackbits(bits, count=len(self)).view(np.bool_)
        mask = self._evaluate(condition)
        with self._lock:
            self._masks[condition] = np.packbits(mask)
            if len(self._masks) > KEPT_CONDITIONS:
                self._masks.popitem(last=False)
        return mask

    def _evaluate(self, condition: Condition) -> Allowed:
        match condition:
            case Marked(marks):
                found = self._having({c for c, own in enumerate(self._marks) if not own.isdisjoint(marks)})
                return found | self._normal if NO_FINDING in marks else found
            case Every(parts):
                return np.asarray(np.logical_and.reduce([self._mask(part) for part in parts]), dtype=np.bool_)
            case Not(inner):
                return ~self._mask(inner)
            case Flag(column):
                return _bools(self._columns[column])
            case Among(column, values):
                return _bools(pc.is_in(self._columns[column], value_set=pa.array(values, type=pa.string())))
            case Between(column, first, last):
                texts = self._columns[column]
                found = _bools(pc.not_equal(texts, ""))
                found &= _bools(pc.greater_equal(texts, first)) if first else True
                found &= _bools(pc.less_equal(texts, last)) if last else True
                return found

    def _having(self, codes: set[int]) -> Allowed:
        """Which rows have a finding of one of `codes`."""
        found = np.zeros(len(self), dtype=bool)
        order, bounds = self._postings
        for code in codes:
            found[order[bounds[code] : bounds[code + 1]]] = True
        return found

    @cached_property
    def _postings(self) -> tuple[NDArray[np.int32], Places]:
        """The rows of each finding, one finding after the other, and where each begins."""
        rows = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self._starts))
        order = np.argsort(self._codes, kind="stable")
        return rows[order], np.searchsorted(self._codes[order], np.arange(len(self._findings) + 1))

    @cached_property
    def _normal(self) -> Allowed:
        """Which reports are read and report nothing: those with the facet `no finding`."""
        reporting = {c for c, own in enumerate(self._marks) if any("|" not in mark for mark in own)}
        return _bools(self._columns["read"]) & ~self._having(reporting)


class Comparison:
    """One query compared with one side of an archive in memory."""

    def __init__(self, archive: ResidentArchive, side: str, vector: NDArray[np.float32]) -> None:
        self._archive, self._vectors = archive, archive.vectors(side)
        self._query = torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float32))

    def nearest(self, conditions: Sequence[Condition], limit: int) -> tuple[Places, Similarities]:
        """Up to `limit` places of rows that fulfil `conditions`, by cosine similarity, and the similarities."""
        allowed = self._archive.allowed(conditions)
        places = None if allowed is None else torch.from_numpy(np.flatnonzero(allowed))
        count = len(self._archive) if places is None else len(places)
        if places is None:
            rough = self._all
        elif count * FEW <= len(self._archive):
            rough = self._in_parts(lambda part: self._similarities(self._vectors.index_select(0, part)), places)
        else:
            rough = self._all.index_select(0, places)
        kept = limit if self._vectors.dtype == torch.float32 else limit * _COMPARED_AGAIN + _MARGIN
        best = largest(rough, min(kept, count))
        places = best if places is None else places[best]
        similarities = self._vectors.index_select(0, places).float() @ self._query
        best = torch.topk(similarities, min(limit, len(places))).indices
        return places[best].numpy(), similarities[best].numpy()

    @cached_property
    def _all(self) -> torch.Tensor:
        """The similarities [N] to all vectors, as exact as these are kept."""
        return self._in_parts(self._similarities, self._vectors)

    def _in_parts(self, compare: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        """`compare` of `rows`, a part on each processor where torch itself uses one."""
        parts = os.cpu_count() or 1
        if torch.get_num_threads() > 1 or parts == 1 or len(rows) < _WORTH_THREADS:
            return compare(rows)
        return torch.cat(list(_pool().map(compare, rows.tensor_split(parts))))

    def _similarities(self, vectors: torch.Tensor) -> torch.Tensor:
        return (vectors @ self._query.to(vectors.dtype)).float()


def largest(values: torch.Tensor, count: int) -> torch.Tensor:
    """The places of the `count` largest of `values` [N], in any order.

    Of many values, by blocks: each of the largest lies in one of the `count` blocks with the largest maxima. The
    other blocks are read once and not copied, where `topk` copies all values.
    """
    blocks = len(values) // _BLOCK
    if count * 4 > blocks:
        return torch.topk(values, count, sorted=False).indices
    end = blocks * _BLOCK
    chosen = torch.topk(values[:end].view(blocks, _BLOCK).amax(dim=1), count, sorted=False).indices
    inside = (chosen[:, None] * _BLOCK + torch.arange(_BLOCK)).flatten()
    places = torch.cat([inside, torch.arange(end, len(values))])
    return places[torch.topk(values[places], count, sorted=False).indices]


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Threads for one query where torch has one a call, as in a server, whose requests run beside each other."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="compare")


def _bools(column: Any) -> Allowed:
    found: Allowed = column.to_numpy(zero_copy_only=False)
    return found.astype(bool)
