"""Objectives by name."""

from __future__ import annotations

import inspect
from typing import Any

from medtrim.errors import ConfigError
from medtrim.objectives.annealed_kernel import AnnealedKernel
from medtrim.objectives.base import Objective
from medtrim.objectives.batch_hard import BatchHard
from medtrim.objectives.clip import Clip
from medtrim.objectives.concepts import ConceptsOnly
from medtrim.objectives.convirt import ConVirt
from medtrim.objectives.cxr_clip import CxrClip
from medtrim.objectives.gloria import Gloria
from medtrim.objectives.label_only import LabelOnly
from medtrim.objectives.medclip import MedClip
from medtrim.objectives.siglip import SigLip
from medtrim.objectives.soft_targets import SoftTargets
from medtrim.objectives.stratified import StratifiedTriplets
from medtrim.objectives.supervised_contrastive import SupervisedContrastive
from medtrim.objectives.triplet import MedTrimTriplet
from medtrim.types.settings import nearest

OBJECTIVES: dict[str, type[Objective]] = {
    "medtrim": AnnealedKernel,
    "medtrim-triplet": MedTrimTriplet,
    "soft-targets": SoftTargets,
    "stratified-triplets": StratifiedTriplets,
    "clip": Clip,
    "siglip": SigLip,
    "convirt": ConVirt,
    "gloria": Gloria,
    "medclip": MedClip,
    "cxr-clip": CxrClip,
    "supervised-contrastive": SupervisedContrastive,
    "batch-hard": BatchHard,
    "label-only": LabelOnly,
    "concepts": ConceptsOnly,
}

# What the trainer knows and the user need not say.
_SIZES = ("dimension", "classes")


def objective_options(name: str) -> dict[str, Any]:
    """The options of an objective with their defaults, in order; sizes that the trainer supplies are left out.

    Raises:
        ConfigError: no objective has this name.
    """
    parameters = inspect.signature(_named(name).__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _SIZES}


def build_objective(
    name: str, *, dimension: int | None = None, classes: int | None = None, **options: Any
) -> Objective:
    """The objective `name` with its options.

    Args:
        name: A key of `OBJECTIVES`.
        dimension: Size of the shared embedding space; only objectives with parameters of that size use it.
        classes: Columns of the label matrix; likewise.
        options: The objective's own, see `objective_options`.

    Raises:
        ConfigError: the name or an option is unknown (the message gives the nearest allowed one), an option is
            of the wrong type or out of range, or the objective needs a size that was not given.

    Examples:
        >>> import medtrim
        >>> sorted(medtrim.build_objective("medtrim").needs)
        ['contradiction', 'similarity']
    """
    allowed = objective_options(name)
    for option in options:
        if option not in allowed:
            raise ConfigError(f"objective {name!r} has no option {option!r}{nearest(option, allowed)}")
        options[option] = _typed(option, options[option], allowed[option])
    kind = _named(name)
    taken = inspect.signature(kind.__init__).parameters
    for size, value in (("dimension", dimension), ("classes", classes)):
        if size in taken:
            if value is None:
                raise ConfigError(f"objective {name!r} needs {size}")
            options[size] = value
    return kind(**options)


def _named(name: str) -> type[Objective]:
    if name not in OBJECTIVES:
        raise ConfigError(f"there is no objective {name!r}{nearest(name, OBJECTIVES)}")
    return OBJECTIVES[name]


def _typed(option: str, value: Any, default: Any) -> Any:
    """`value` if it is of the default's type; a whole number also passes for a real one."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise ConfigError(f"{option} must be a {type(default).__name__} such as {default!r}; received {value!r}")
    return value
