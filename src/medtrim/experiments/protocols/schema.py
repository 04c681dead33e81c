"""The schema of a protocol: every choice that decides which studies are evaluated, and how."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medtrim.errors import ConfigError
from medtrim.types.settings import nearest, validated
from medtrim.types.yamlfile import load_yaml, read_yaml

PROTOCOLS: tuple[str, ...] = (
    "mimic-5x200",
    "chexpert-5x200",
    "mimic-retrieval",
    "openi-retrieval",
    "rsna-probe",
    "nih-probe",
)
Text = Literal["report", "findings", "impression"]


class Part(BaseModel):
    """A part of a protocol: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Labels(Part):
    """Where the labels come from.

    Attributes:
        columns: class → column of the studies table.
        positive: values that mean the class is present (compared as text, 1.0 and 1 alike).
        listed_in: a column with a list of present classes instead of a column each.
        separator: between them.
        names: class → what that list calls it.
    """

    columns: dict[str, str] = Field(default_factory=dict)
    positive: tuple[str, ...] = ("1", "true", "yes")
    listed_in: str = ""
    separator: str = "|"
    names: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.columns) == bool(self.listed_in):
            raise ValueError("labels: give either columns or listed_in")
        if self.listed_in and not self.names:
            raise ValueError("labels: listed_in needs names")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in their order."""
        return tuple(self.columns or self.names)


class Protocol(Part):
    """One task.

    Attributes:
        task: `class-retrieval` (a report is relevant if it is of the image's class; also zero-shot among the
            classes), `text-retrieval` (a report is relevant if it is the image's own), `linear-probe`.
        source: where the protocol was published.
        splits: studies of these splits are evaluated; empty for all.
        train_splits: for probes, studies that are fitted on.
        views: allowed views, without regard to case; empty for any. A study without a view passes only then.
        text: which text of a study is retrieved.
        labels: for class retrieval and probes.
        exclusive: only studies with exactly one positive class among `competing`.
        competing: classes (and their columns) that must not be positive besides the study's own; the protocol's
            classes are always among them.
        per_class: studies a class, drawn by `seed`; 0 takes all.
        merge_texts: studies with the same text (case and white space aside) are one entry of the gallery.
        own_in_gallery: whether a query's own report is among what it may retrieve.
        one_per_patient: keep a patient's first study (by id) only.
        cuts: k of P@k or R@k.
        fractions: of the training patients, for probes.
        choices: what the publication leaves open and was decided here, in words.
    """

    name: str
    title: str
    task: Literal["class-retrieval", "text-retrieval", "linear-probe"]
    source: str
    splits: tuple[str, ...] = ()
    train_splits: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    text: Text = "report"
    labels: Labels | None = None
    exclusive: bool = False
    competing: dict[str, str] = Field(default_factory=dict)
    per_class: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
    merge_texts: bool = False
    own_in_gallery: bool = True
    one_per_patient: bool = False
    cuts: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 5, 10)
    fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.01, 0.1, 1.0)
    choices: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.task != "text-retrieval" and self.labels is None:
            raise ValueError(f"{self.task} needs labels")
        if self.task == "linear-probe" and not (self.splits and self.train_splits):
            raise ValueError("linear-probe needs splits and train_splits")
        if set(self.splits) & set(self.train_splits):
            raise ValueError("splits and train_splits share a split")
        return self


def load_protocol(source: Path | str) -> Protocol:
    """The packaged protocol of that name, or the one in a YAML file.

    Raises:
        ConfigError: there is none, or the message lists every unknown key with the nearest allowed one.
    """
    if str(source) in PROTOCOLS:
        file = resources.files("medtrim.experiments.protocols") / "data" / f"{source}.yaml"
        values = load_yaml(file.read_text(encoding="utf-8"), source=f"protocol {source}")
    elif Path(source).suffix in (".yaml", ".yml"):
        values = read_yaml(source)
    else:
        raise ConfigError(
            f"there is no protocol {str(source)!r}{nearest(str(source), PROTOCOLS)}; or name a YAML file"
        )
    return validated(Protocol, values, source=str(source))
