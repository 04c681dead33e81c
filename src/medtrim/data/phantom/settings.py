"""Clinical settings: which findings come together, with which descriptors, how often."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from medtrim.data.phantom.case import BILATERAL, Lesion
from medtrim.data.phantom.world import Lots, Weights
from medtrim.types import DISEASES, Assertion

ONE_SIDE: Weights = {"left": 0.5, "right": 0.5}


def pick(lots: Lots, weights: Weights) -> str:
    """A key of `weights`, drawn in proportion."""
    return lots.choices(list(weights), list(weights.values()))[0]


def sides(lots: Lots, side: str | None = None, *, both: float = 0.0) -> tuple[str, ...]:
    """One side (the given one, if any), or with probability `both` both."""
    if lots.random() < both:
        return BILATERAL
    return (side or pick(lots, ONE_SIDE),)


def _lesion(
    lots: Lots,
    disease: str,
    where: tuple[str, ...] = (),
    zone: str = "",
    severity: str = "",
    patterns: tuple[str, ...] = (),
) -> Lesion:
    assertion: Assertion = "uncertain" if lots.random() < lots.world.hedged else "present"
    return Lesion(disease, where, zone, severity, patterns, assertion, lots.random(), lots.getrandbits(32))


def effusion(lots: Lots, side: str | None = None, *, both: float = 0.22) -> Lesion:
    """Pleural effusion, small to large."""
    return _lesion(lots, "pleural effusion", sides(lots, side, both=both), severity=pick(lots, lots.world.sizes))


def effusions(lots: Lots, *, both: float) -> list[Lesion]:
    """Effusion on one side or both; of those on both a third are larger on one side."""
    first = effusion(lots, both=both)
    if len(first.sides) == 1 or lots.random() >= 0.33:
        return [first]
    larger = pick(lots, ONE_SIDE)
    sizes = pick(lots, {"small moderate": 0.6, "small large": 0.2, "moderate large": 0.2}).split()
    ordered = reversed(sizes) if larger == "left" else sizes
    assertion = first.assertion
    return [
        Lesion("pleural effusion", (side,), "", size, (), assertion, lots.random(), lots.getrandbits(32))
        for side, size in zip(BILATERAL, ordered, strict=True)
    ]


def pneumothorax(lots: Lots, side: str | None = None) -> Lesion:
    """Pneumothorax: the smaller, the more surely apical."""
    size = pick(lots, {"small": 0.55, "moderate": 0.27, "large": 0.18})
    zone = "apical" if size == "small" and lots.random() < 0.8 else ""
    return _lesion(lots, "pneumothorax", sides(lots, side), zone, size)


def _lobe(lots: Lots, side: str) -> str:
    if side == "right":
        return pick(lots, {"lower": 0.45, "upper": 0.3, "middle": 0.25})
    return pick(lots, {"lower": 0.55, "upper": 0.28, "lingular": 0.17})


def consolidation(lots: Lots, side: str | None = None) -> Lesion:
    """A lobe without air, or a part of it."""
    where = sides(lots, side)
    return _lesion(
        lots, "consolidation", where, _lobe(lots, where[0]), patterns=("focal",) if lots.random() < 0.3 else ()
    )


def pneumonia(lots: Lots, side: str | None = None, zone: str = "") -> Lesion:
    """Airspace shadows in one zone, or in the lower zones of both lungs."""
    where = sides(lots, side, both=0.0 if zone else 0.15)
    zone = zone or ("lower" if len(where) == 2 else _lobe(lots, where[0]))
    return _lesion(lots, "pneumonia", where, zone, patterns=("patchy",) if lots.random() < 0.45 else ())


def opacity(lots: Lots, side: str | None = None) -> Lesion:
    """An unspecific shadow: patchy, hazy, streaky, interstitial."""
    pattern = pick(lots, {"patchy": 0.35, "hazy": 0.25, "streaky": 0.2, "interstitial": 0.2})
    if pattern == "interstitial":
        where = sides(lots, side, both=0.7)
        zone = "" if len(where) == 2 and lots.random() < 0.5 else pick(lots, {"basal": 0.6, "upper": 0.4})
    else:
        where = sides(lots, side, both=0.15)
        zone = (
            pick(lots, {"basal": 0.5, "upper": 0.5})
            if len(where) == 2
            else pick(lots, {"basal": 0.3, "lower": 0.2, "upper": 0.3, "middle": 0.2})
        )
    if zone == "middle" and where == ("left",):
        zone = "lingular"
    return _lesion(lots, "lung opacity", where, zone, patterns=(pattern,))


def atelectasis(lots: Lots, side: str | None = None, *, both: float = 0.4) -> Lesion:
    """Plates at the base, now and then in another zone."""
    where = sides(lots, side, both=both)
    zone = "basal" if len(where) == 2 else pick(lots, {"basal": 0.75, "upper": 0.08, "lower": 0.17})
    kind = pick(lots, {"mild": 0.42, "moderate": 0.16, "": 0.14, "streaky": 0.28})
    if kind == "streaky":
        return _lesion(lots, "atelectasis", where, zone, patterns=("streaky",))
    return _lesion(lots, "atelectasis", where, zone, kind)


def lung_lesion(lots: Lots) -> Lesion:
    """A nodule, a mass, or many nodules."""
    if lots.random() < 0.22:
        return _lesion(lots, "lung lesion", BILATERAL, patterns=("multiple",), severity="small")
    where = sides(lots)
    middle = "middle" if where == ("right",) else "lingular"
    zone = pick(lots, {"upper": 0.45, "lower": 0.3, middle: 0.13, "hilar": 0.12})
    size = pick(lots, {"small": 0.45, "": 0.2, "large": 0.35})
    return _lesion(lots, "lung lesion", where, zone, "large" if zone == "hilar" else size)


def cardiomegaly(lots: Lots) -> Lesion:
    """A heart wider than half the thorax."""
    return _lesion(lots, "cardiomegaly", severity=pick(lots, {"mild": 0.5, "moderate": 0.32, "severe": 0.18}))


def edema(lots: Lots) -> Lesion:
    """Pulmonary edema of both lungs: perihilar, interstitial or unspecified."""
    severity = pick(lots, {"mild": 0.48, "moderate": 0.32, "severe": 0.2})
    if lots.random() < 0.5:
        return _lesion(lots, "edema", BILATERAL, "hilar", severity)
    pattern = ("interstitial",) if severity != "severe" and lots.random() < 0.5 else ()
    return _lesion(lots, "edema", (), "", severity, pattern)


def fracture(lots: Lots, side: str | None = None) -> Lesion:
    """Rib fractures: one or several, acute or healed."""
    age = pick(lots, {"acute": 0.55, "healed": 0.45})
    patterns = (age, "multiple") if lots.random() < 0.5 else (age,)
    return _lesion(lots, "fracture", sides(lots, side), patterns=patterns)


def thickening(lots: Lots) -> Lesion:
    """Pleural thickening: an apical cap, a lateral or a basal rind."""
    zone = pick(lots, {"apical": 0.5, "basal": 0.3, "": 0.2})
    return _lesion(
        lots,
        "pleural other",
        sides(lots, both=0.3 if zone == "apical" else 0.1),
        zone,
        pick(lots, lots.world.severities),
    )


def wide_mediastinum(lots: Lots) -> Lesion:
    """A wide upper mediastinum."""
    return _lesion(lots, "enlarged cardiomediastinum", severity=pick(lots, lots.world.severities))


def _chance(lots: Lots, probability: float, make: Callable[[], Lesion]) -> list[Lesion]:
    return [make()] if lots.random() < probability else []


def heart_failure(lots: Lots) -> list[Lesion]:
    """A failing heart: cardiomegaly, edema, effusions."""
    found = _chance(lots, 0.85, lambda: cardiomegaly(lots)) + _chance(lots, 0.75, lambda: edema(lots))
    found += effusions(lots, both=0.65) if lots.random() < 0.5 else []
    return (found + _chance(lots, 0.12, lambda: atelectasis(lots))) or [cardiomegaly(lots)]


def infection(lots: Lots) -> list[Lesion]:
    """Pneumonia or a consolidated lobe, fluid on its side."""
    side = pick(lots, ONE_SIDE)
    main = pneumonia(lots, side) if lots.random() < 0.5 else consolidation(lots, side)
    found = [main]
    if main.disease == "consolidation" and lots.random() < 0.2:
        found.append(pneumonia(lots, side, main.zone))
    return found + _chance(lots, 0.28, lambda: effusion(lots, side, both=0.05))


def trauma(lots: Lots) -> list[Lesion]:
    """Broken ribs, and on their side air, blood or a bruise."""
    side = pick(lots, ONE_SIDE)
    found = [fracture(lots, side)]
    found += _chance(lots, 0.28, lambda: pneumothorax(lots, side)) + _chance(
        lots, 0.2, lambda: effusion(lots, side, both=0.0)
    )
    return found


def after_surgery(lots: Lots) -> list[Lesion]:
    """Basal atelectasis with or without a little fluid."""
    side = pick(lots, ONE_SIDE)
    found = [atelectasis(lots, side), *_chance(lots, 0.45, lambda: effusion(lots, side, both=0.15))]
    return found + _chance(lots, 0.15, lambda: cardiomegaly(lots))


def tumour(lots: Lots) -> list[Lesion]:
    """Nodules and masses, sometimes with nodes or malignant fluid."""
    found = [lung_lesion(lots)]
    found += _chance(lots, 0.14, lambda: wide_mediastinum(lots))
    return found + _chance(lots, 0.16, lambda: effusion(lots, both=0.05))


def fluid(lots: Lots) -> list[Lesion]:
    """An effusion, with the atelectasis it presses on."""
    found = effusions(lots, both=0.25)
    both = float(len(found) == 2 or len(found[0].sides) == 2)
    return found + _chance(lots, 0.3, lambda: atelectasis(lots, found[0].sides[0], both=both))


def air(lots: Lots) -> list[Lesion]:
    """A pneumothorax."""
    return [pneumothorax(lots)]


def shadow(lots: Lots) -> list[Lesion]:
    """An unspecific opacity."""
    return [
        opacity(lots),
        *_chance(lots, 0.15, lambda: effusion(lots)),
        *_chance(lots, 0.12, lambda: cardiomegaly(lots)),
    ]


def scar(lots: Lots) -> list[Lesion]:
    """Pleural thickening."""
    return [thickening(lots), *_chance(lots, 0.15, lambda: atelectasis(lots))]


def aorta(lots: Lots) -> list[Lesion]:
    """A wide mediastinum, often with a large heart."""
    return [wide_mediastinum(lots), *_chance(lots, 0.3, lambda: cardiomegaly(lots))]


def large_heart(lots: Lots) -> list[Lesion]:
    """Cardiomegaly alone."""
    return [cardiomegaly(lots)]


SETTINGS: Mapping[str, Callable[[Lots], list[Lesion]]] = {
    make.__name__: make
    for make in (
        heart_failure,
        infection,
        trauma,
        after_surgery,
        tumour,
        fluid,
        air,
        shadow,
        scar,
        aorta,
        large_heart,
    )
}


def draw_lesions(lots: Lots) -> tuple[Lesion, ...]:
    """The findings of one abnormal study in the order of `DISEASES`; unequal effusions are two entries."""
    setting = SETTINGS[pick(lots, lots.world.settings)]
    return tuple(sorted(setting(lots), key=lambda lesion: DISEASES.index(lesion.disease)))
