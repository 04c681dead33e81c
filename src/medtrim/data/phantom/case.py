"""What is decided before a pixel is drawn: the patient, the exposure, and the findings with their descriptors."""

from __future__ import annotations

from dataclasses import dataclass, replace

from medtrim.types import Assertion, Finding

BILATERAL: tuple[str, ...] = ("left", "right")

# Half the inner width of the thorax: the unit of length is chosen so that most of a film lies within ±1.
WALL = 0.78
# Radius of a nodule or mass by grade, from the smallest to the largest extent.
NODULE_RADIUS = ((0.046, 0.056), (0.080, 0.092), (0.150, 0.185))

# How strongly a severity or size is drawn. A finding whose report gives none is drawn in the middle.
GRADES: dict[str, int] = {"small": 0, "mild": 0, "moderate": 1, "": 1, "large": 2, "severe": 2}


@dataclass(frozen=True, slots=True)
class Lesion:
    """One drawn finding.

    `sides` holds `left`, `right` or both; `zone` is a further canonical direction or empty; `severity` is a size or
    severity word or empty; `patterns` are further canonical adjectives that the drawing shows; `extent` in [0, 1]
    places the drawing within its grade; `seed` makes its detail independent of whatever else is drawn.
    """

    disease: str
    sides: tuple[str, ...] = ()
    zone: str = ""
    severity: str = ""
    patterns: tuple[str, ...] = ()
    assertion: Assertion = "present"
    extent: float = 0.5
    seed: int = 0

    @property
    def grade(self) -> int:
        """0 small or mild, 1 moderate or unstated, 2 large or severe."""
        return GRADES[self.severity]

    @property
    def finding(self) -> Finding:
        """The drawn truth in the project's canonical terms."""
        adjectives = (*self.patterns, self.severity) if self.severity else self.patterns
        directions = (*self.sides, self.zone) if self.zone else self.sides
        return Finding(self.disease, self.assertion, tuple(sorted(adjectives)), tuple(sorted(directions)))


@dataclass(frozen=True, slots=True)
class Patient:
    """Anatomy that every study of a patient shares. Lengths are in thorax units (inner half-width 0.78)."""

    sex: str
    age: int
    width: float = 1.0
    height: float = 1.0
    fat: float = 0.3
    breast: float = 0.0
    cardiothoracic_ratio: float = 0.44
    aorta: float = 1.0
    bones: int = 0
    vessels: int = 0
    bone_density: float = 1.0
    implants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Technique:
    """How the film was taken: view, pose (radians, halves of an image), exposure, what else is on it."""

    view: str = "PA"
    roll: float = 0.0
    yaw: float = 0.0
    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    inspiration: float = 0.5
    exposure: float = 0.0
    contrast: float = 1.0
    noise: float = 0.03
    heel: float = 0.0
    collimation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    marker: str = ""
    gas: float = 0.5
    attached: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One study before it is drawn and reported; `world` is a name in `worlds.yaml`."""

    patient: Patient
    technique: Technique
    lesions: tuple[Lesion, ...] = ()
    world: str = "A"

    @property
    def truth(self) -> tuple[Finding, ...]:
        """The drawn findings in canonical terms; empty for a normal study."""
        return tuple(lesion.finding for lesion in self.lesions)

    def of(self, disease: str) -> tuple[Lesion, ...]:
        """The drawn lesions of one disease."""
        return tuple(lesion for lesion in self.lesions if lesion.disease == disease)

    def without(self, *diseases: str) -> Case:
        """The same study with those diseases not drawn."""
        return replace(self, lesions=tuple(x for x in self.lesions if x.disease not in diseases))

    @property
    def cardiothoracic_ratio(self) -> float:
        """Widest heart over widest inner thorax, as drawn: below 0.5 unless cardiomegaly is drawn."""
        ratio = self.patient.cardiothoracic_ratio
        for lesion in self.of("cardiomegaly"):
            low, high = ((0.52, 0.545), (0.58, 0.61), (0.65, 0.70))[lesion.grade]
            ratio = low + (high - low) * lesion.extent
        return ratio


def lesion_radius(lesion: Lesion) -> float:
    """Radius of a nodule or mass in thorax units."""
    low, high = NODULE_RADIUS[lesion.grade]
    return low + (high - low) * lesion.extent
