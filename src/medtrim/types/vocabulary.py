"""The canonical vocabulary of the default ontology that other packages need to know by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

NO_FINDING = "no finding"

# The 13 classes of the field's CheXpert-style label set; NO_FINDING means that none of the others is present.
DISEASES: tuple[str, ...] = (
    "atelectasis",
    "cardiomegaly",
    "consolidation",
    "edema",
    "enlarged cardiomediastinum",
    "fracture",
    "lung lesion",
    "lung opacity",
    "pleural effusion",
    "pleural other",
    "pneumonia",
    "pneumothorax",
)

SIDES: tuple[str, ...] = ("left", "right")
ZONES: tuple[str, ...] = ("upper", "middle", "lower", "basal", "apical", "hilar", "lingular", "retrocardiac")


@dataclass(frozen=True, slots=True)
class Contradictions:
    """Which descriptors cannot both be true of one finding, by axis.

    `axes` maps an axis name to levels: descriptor → level. Two descriptor sets conflict on an axis when both
    name at least one level and have none in common: {left} conflicts with {right}, {left, right} with neither.
    """

    axes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def levels(self, axis: str, descriptors: Iterable[str]) -> frozenset[int]:
        """The levels of `axis` that `descriptors` name."""
        scale = self.axes[axis]
        return frozenset(scale[d] for d in descriptors if d in scale)

    def conflict(self, axis: str, ours: Iterable[str], theirs: Iterable[str]) -> bool:
        """Whether two descriptor sets contradict each other on `axis`."""
        a, b = self.levels(axis, ours), self.levels(axis, theirs)
        return bool(a) and bool(b) and not a & b


DEFAULT_CONTRADICTIONS = Contradictions(
    MappingProxyType(
        {
            "side": MappingProxyType({"left": 0, "right": 1}),
            "zone": MappingProxyType(
                {"apical": 0, "upper": 0, "middle": 1, "lingular": 1, "hilar": 1, "lower": 2, "basal": 2}
            ),
            # Size and severity are one ordered scale: radiologists call an effusion small, an edema mild.
            "severity": MappingProxyType(
                {"borderline": 0, "small": 0, "mild": 0, "moderate": 1, "large": 2, "severe": 2}
            ),
            "acuity": MappingProxyType({"acute": 0, "subacute": 0, "chronic": 1, "healed": 1}),
        }
    )
)
