"""Reports to train a tokenizer on and a tiny bundle, built once."""

from __future__ import annotations

import pytest

from medtrim.models import EncoderBundle, build_dual_encoder

REPORTS = (
    "Small left pleural effusion. Heart size is normal.",
    "Large right pneumothorax with mild shift. No effusion.",
    "No acute cardiopulmonary abnormality.",
    "Patchy opacity in the right lower lobe, likely pneumonia.",
)


@pytest.fixture(scope="session")
def reports() -> tuple[str, ...]:
    return REPORTS


@pytest.fixture(scope="session")
def tiny() -> EncoderBundle:
    return build_dual_encoder("tiny", texts=REPORTS, seed=0)
