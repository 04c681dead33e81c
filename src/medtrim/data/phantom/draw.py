"""`draw`: one case to one grey-scale radiograph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medtrim.data.phantom import anatomy, hardware, nodule, parenchyma, pleura, skeleton
from medtrim.data.phantom.anatomy import Hemithorax
from medtrim.data.phantom.case import BILATERAL, Case, Lesion
from medtrim.data.phantom.film import expose
from medtrim.data.phantom.frame import Array, Frame, make_frame, ramp, unit
from medtrim.data.phantom.texture import window
from medtrim.data.phantom.vessels import VESSEL_VARIANTS, vessels
from medtrim.data.phantom.world import load_world
from medtrim.errors import ConfigError

# Opacities first, then what lies outside the lung, so that a pneumothorax is dark over any haze.
ORDER = (
    "lung opacity",
    "edema",
    "pneumonia",
    "consolidation",
    "atelectasis",
    "lung lesion",
    "pleural other",
    "pneumothorax",
    "pleural effusion",
)


def draw(case: Case, *, size: int = 128, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw `case` as a frontal chest radiograph, patient's right on the image's left.

    The same case and generator state give the same anatomy at every size; each lesion has its own seed, so leaving
    one out changes nothing elsewhere.

    Args:
        case: what to draw.
        size: pixels along an edge, 32 or more.
        rng: texture of the lungs and quantum noise.

    Returns:
        Grey values [size size], uint8, 0 black.

    Raises:
        ConfigError: `size` is below 32.
    """
    if size < 32:
        raise ConfigError(f"phantom: images are 32 pixels wide or more, got {size}")
    return expose(attenuation(case, size=size, rng=rng), case.technique, rng, load_world(case.world))


def attenuation(case: Case, *, size: int, rng: np.random.Generator) -> Array:
    """Total attenuation along each ray, [size size]; about 0 beside the body, 0.9 in lung, 3 in abdomen."""
    frame = make_frame(case, size)
    film = anatomy.body_thickness(frame, case)
    shift = anatomy.mediastinal_shift(case)
    borders = anatomy.mediastinal_borders(case)
    texture = (rng.random(), rng.random())
    anatomy.add_abdomen(film, frame, case)
    for side in ("right", "left"):
        lung = anatomy.hemithorax(frame, case, side, borders[side], shift)
        _vessel_layer(film, frame, case, lung, texture)
    anatomy.add_midline(film, frame, shift)
    anatomy.add_breasts(film, frame, case)
    film += skeleton.bone_layer(frame, case)
    for device in (*case.patient.implants, *case.technique.attached):
        film += hardware.layer(frame, device) * np.float32(1.6)
    return film


def _vessel_layer(film: Array, frame: Frame, case: Case, lung: Hemithorax, texture: tuple[float, float]) -> None:
    """One lung with its lesions, vessels and texture, subtracted from the body."""
    anatomy.hilum(frame, lung)
    lung.air *= np.float32(1.0) + np.float32(frame.world.mottle) * window(
        "cloud", frame.world, frame.size, lung.u.shape, texture
    )
    within = [lesion for lesion in case.lesions if lesion.disease in ORDER]
    for lesion in sorted(within, key=lambda x: ORDER.index(x.disease)):
        if lung.name in (lesion.sides or BILATERAL):
            _lesion(frame, lung, lesion)
    variant = case.patient.vessels + (5 if lung.sign < 0 else 0)
    tree = vessels(frame.world, variant % VESSEL_VARIANTS, frame.size)
    marks = frame.sample(tree, lung.box, mirror=lung.sign < 0)
    marks *= unit(lung.air * np.float32(1.4))
    lung.air *= np.float32(-frame.world.air)
    # Whatever is drawn in one pleural cavity ends at the midline.
    lung.opacity *= ramp(lung.u - np.float32(0.03), 0.06)
    lung.air += lung.opacity
    marks *= lung.marking
    marks *= unit(lung.wall * np.float32(12.0))
    lung.air += marks * np.float32(frame.world.vessel)
    film[lung.box] += lung.air


def _lesion(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    match lesion.disease:
        case "lung opacity":
            parenchyma.opacity(frame, lung, lesion)
        case "edema":
            parenchyma.edema(frame, lung, lesion)
        case "pneumonia":
            parenchyma.pneumonia(frame, lung, lesion)
        case "consolidation":
            parenchyma.consolidation(frame, lung, lesion)
        case "atelectasis":
            parenchyma.atelectasis(frame, lung, lesion)
        case "lung lesion":
            nodule.nodules(frame, lung, lesion)
        case "pleural other":
            pleura.thickening(frame, lung, lesion)
        case "pneumothorax":
            pleura.pneumothorax(frame, lung, lesion)
        case "pleural effusion":
            pleura.effusion(frame, lung, lesion)
