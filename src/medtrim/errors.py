"""The one exception tree: whatever MedTrim raises on purpose is a `MedTrimError`."""

from __future__ import annotations


class MedTrimError(Exception):
    """Base of every error that MedTrim raises about its input, configuration or state."""


class TableError(MedTrimError):
    """A table lacks columns, has columns of the wrong type, or holds rows that contradict each other."""


class EmbeddingsError(TableError):
    """Embeddings cannot be used: ids are missing, repeated or not those of the truth, widths differ, not finite."""


class ConfigError(MedTrimError):
    """A configuration has unknown keys or values out of range."""


class OntologyError(MedTrimError):
    """An ontology file is malformed or contradicts itself."""


class RecordError(MedTrimError):
    """One record of a corpus cannot be used; carries its id and the reason, never the report's text."""

    def __init__(self, study_id: str, reason: str) -> None:
        super().__init__(f"study {study_id!r}: {reason}")
        self.study_id = study_id
        self.reason = reason

    def __reduce__(self) -> tuple[type[RecordError], tuple[str, str]]:
        return type(self), (self.study_id, self.reason)


class ImageError(RecordError):
    """The image of a study is missing, unreadable or absurd."""


class MiningError(MedTrimError):
    """A miner's settings are out of order or the corpus admits no triplet at all."""


class ModelError(MedTrimError):
    """A checkpoint or preset cannot be built or loaded."""


class TrainingError(MedTrimError):
    """A training run cannot go on: patient overlap, loss that is not finite, torn checkpoint."""
