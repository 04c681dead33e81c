"""Reports in and annotations out as Arrow batches."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from medtrim.entities.ontology import Ontology
from medtrim.entities.recognizer import Recognizer
from medtrim.entities.tokens import sentence_bounds
from medtrim.entities.units import Ints, UnitStore, column, expand
from medtrim.types import schemas

# Distinct sentences kept; beyond them the store starts anew, so that memory does not grow with the corpus.
MAX_UNITS = 150_000
# Whole sections up to this length are remembered too: "No acute cardiopulmonary abnormality." is a tenth of all.
SHORT_SECTION = 120
SECTIONS = ("findings", "impression")


class BatchRecognizer:
    """Annotates Arrow batches. Equal to `Recognizer.annotate` of each study, row for row."""

    def __init__(self, ontology: Ontology | None = None) -> None:
        self.recognizer = Recognizer(ontology)
        self._reset()

    def _reset(self) -> None:
        self._store = UnitStore()
        self._units: dict[str, int] = {}
        self._loose: set[int] = set()
        self._short: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The annotations of `batch`, which has string columns `study_id`, `findings` and `impression`.

        Null sections are empty. Rows stay in their order.
        """
        if len(self._units) > MAX_UNITS:
            self._reset()
        texts = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in SECTIONS]
        units: list[int] = []
        shifts: list[int] = []
        ends: list[int] = []  # of each (study, section), findings before impression
        read = self._section
        for pair in zip(*texts, strict=True):
            for text in pair:
                if text:
                    read(text, units, shifts)
                ends.append(len(units))
        ids = batch.column(batch.schema.get_field_index("study_id")).cast(pa.string())
        return self._gather(
            ids, np.array(units, dtype=np.int32), np.array(shifts, dtype=np.int32), np.array(ends, dtype=np.int32)
        )

    def _section(self, text: str, units: list[int], shifts: list[int]) -> None:
        """Append the units of one section and where each begins."""
        short = len(text) <= SHORT_SECTION
        if short:
            known = self._short.get(text)
            if known is not None:
                units.extend(known[0])
                shifts.extend(known[1])
                return
        first = len(units)
        numbers = self._units
        last_start = joined = 0
        for start, end in sentence_bounds(text):
            sentence = text[start:end]
            number = numbers.get(sentence)
            if number is None:
                number = self._read(sentence)
            if number in self._loose and len(units) > first and joined < self.recognizer.max_joined:
                sentence = text[last_start:end]
                number = numbers.get(sentence)
                units[-1] = self._read(sentence) if number is None else number
                joined += 1
                continue
            units.append(number)
            shifts.append(start)
            last_start, joined = start, 0
        if short:
            self._short[text] = (tuple(units[first:]), tuple(shifts[first:]))

    def _read(self, unit: str) -> int:
        findings, told = self.recognizer.read_unit(unit)
        number = self._store.add(unit, findings, told=told)
        self._units[unit] = number
        if self.recognizer.goes_on(unit):
            self._loose.add(number)
        return number

    def _gather(self, ids: pa.Array, units: Ints, shifts: Ints, ends: Ints) -> pa.RecordBatch:
        store = self._store
        findings, per_unit = expand(column(store.finding_start), units)
        mentions, per_finding = expand(column(store.mention_start), findings)
        shift = np.repeat(np.repeat(shifts, per_unit), per_finding)
        section_of_unit = np.repeat(np.arange(len(ends), dtype=np.int32), np.diff(ends, prepend=np.int32(0)))
        impression = np.repeat(np.repeat(section_of_unit % 2, per_unit), per_finding)
        names = pa.array(SECTIONS, pa.string())
        mention_columns = [
            names.take(pa.array(impression)),
            pa.array(column(store.start)[mentions] + shift, pa.int32()),
            pa.array(column(store.end)[mentions] + shift, pa.int32()),
            store.texts.take(column(store.text)[mentions]),
            store.strings.take(column(store.role)[mentions]),
        ]
        mention_lists = pa.ListArray.from_arrays(
            _offsets(per_finding), pa.StructArray.from_arrays(mention_columns, fields=list(schemas.MENTION))
        )
        finding_columns = [
            store.strings.take(column(store.disease)[findings]),
            store.strings.take(column(store.assertion)[findings]),
            store.lists.take(column(store.adjectives)[findings]),
            store.lists.take(column(store.directions)[findings]),
            mention_lists,
            store.changes.take(column(store.change)[findings]),
            store.sizes.take(column(store.size_mm)[findings]),
        ]
        found_before = np.concatenate([np.zeros(1, np.int32), np.cumsum(per_unit, dtype=np.int32)])
        study_ends = found_before[ends[1::2]]
        finding_lists = pa.ListArray.from_arrays(
            pa.array(np.concatenate([np.zeros(1, np.int32), study_ends])),
            pa.StructArray.from_arrays(finding_columns, fields=list(schemas.FINDING)),
        )
        told = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(store.told, np.int64)[units])])
        read = pa.array(np.diff(told[ends[1::2]], prepend=0) > 0)
        return pa.RecordBatch.from_arrays([ids, finding_lists, read], schema=schemas.ANNOTATIONS)


def _offsets(counts: Ints) -> pa.Array:
    return pa.array(np.concatenate([np.zeros(1, np.int32), np.cumsum(counts, dtype=np.int32)]))
