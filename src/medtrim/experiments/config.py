"""What a pipeline is told: where the studies come from, which methods are compared, at what budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medtrim.errors import ConfigError

DEFAULT_METHODS = ("medtrim", "clip")


@dataclass(frozen=True, slots=True)
class PhantomSource:
    """Drawn studies with known findings: how many, and the side of their images in pixels."""

    studies: int = 6000
    size: int = 128


@dataclass(frozen=True, slots=True)
class TableSource:
    """The user's own studies: anything that `medtrim data import` reads.

    Attributes:
        path: a table (image path, findings, impression, patient id), or another layout of `read_corpus`.
        columns: field → column, where the names differ from the usual ones.
        image_root: folder that relative image paths start from; the table's by default.
        layout, patients, encoding: as `medtrim.data.read_corpus`.
        fractions: shares of the splits, by patient, where the table gives none.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    image_root: Path | None = None
    layout: str = "auto"
    patients: str = "required"
    encoding: str = "utf-8"
    fractions: Mapping[str, float] = field(default_factory=lambda: {"train": 0.7, "val": 0.1, "test": 0.2})


Source = PhantomSource | TableSource


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """One comparison of methods.

    Attributes:
        source: where the studies come from.
        methods: keys of `methods.yaml`; the first is compared with each of the others.
        seed: of everything that is drawn.
        recipe: name of a packaged training recipe, or a recipe file, for every method alike.
        settings: keys of the recipe to change, dotted (`optimizer.warmup`) → value, for every method alike.
        steps, epochs, batch, image_size: None leaves them to the recipe; `steps` wins over `epochs`.
        iterations: pools that are mined, each 32 triplets at most.
        resamples: of the bootstrap.
        validate: how many points the validation curves have; 0 draws none.
        save_every: steps between checkpoints from which a killed training goes on; 0 keeps none.
        jobs: trainings at a time; 0: one a core, one alone where there is a GPU.
    """

    source: Source
    methods: tuple[str, ...] = DEFAULT_METHODS
    seed: int = 0
    recipe: str = "tiny-cpu"
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    epochs: float | None = None
    batch: int | None = None
    image_size: int | None = None
    iterations: int = 500
    resamples: int = 1000
    validate: int = 8
    save_every: int = 0
    jobs: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "image_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")
        if self.seed < 0 or self.iterations < 1 or self.resamples < 1 or self.validate < 0 or self.jobs < 0:
            raise ConfigError("seed, validate and jobs must be 0 or more, iterations and resamples 1 or more")

    @property
    def drawn(self) -> bool:
        """Whether the studies are phantoms."""
        return isinstance(self.source, PhantomSource)

    def plain(self) -> dict[str, Any]:
        """The configuration as JSON data; of the user's table the name alone, without its folder."""
        data = asdict(self)
        if isinstance(self.source, TableSource):
            data["source"] |= {"path": self.source.path.name, "image_root": None}
        return data
