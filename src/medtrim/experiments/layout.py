"""Where a pipeline keeps its files, from the run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one run. Names are the same in every run, so that scripts find them."""

    folder: Path

    @property
    def corpus(self) -> Path:
        """Folder of the studies table; phantoms have their images there too."""
        return self.folder / "corpus"

    @property
    def studies(self) -> Path:
        """The studies table."""
        return self.corpus / "studies.parquet"

    @property
    def rejects(self) -> Path:
        """Records that could not be used, from every stage."""
        return self.folder / "rejects.parquet"

    @property
    def annotations(self) -> Path:
        """The findings of every report."""
        return self.folder / "annotations.parquet"

    @property
    def triplets(self) -> Path:
        """Mined triplets of the training split."""
        return self.folder / "triplets.parquet"

    @property
    def cache(self) -> Path:
        """Decoded images at the training size."""
        return self.folder / "cache"

    @property
    def metrics(self) -> Path:
        """Every figure and paired difference, one row each."""
        return self.folder / "metrics.parquet"

    @property
    def results(self) -> Path:
        """What the report shows, as JSON."""
        return self.folder / "results.json"

    @property
    def report(self) -> Path:
        """The report."""
        return self.folder / "report.html"

    def run(self, method: str) -> Path:
        """Folder of a method's training: metrics.jsonl, config.yaml, model/."""
        return self.folder / "runs" / method

    def evaluation(self, method: str) -> Path:
        """Folder of a method's evaluation: embeddings of the test split, figures with their replicates."""
        return self.folder / "evaluation" / method

    def relative(self, path: Path) -> str:
        """`path` from the run's folder."""
        return path.relative_to(self.folder).as_posix()
