from __future__ import annotations

import pytest

from research.notes import note_rules


@pytest.mark.parametrize(
    ("note", "left"),
    [
        ("A 60-year-old man with fever. Right basal consolidation.", "Right basal consolidation."),
        ("CT shows nodules. Small left effusion.", "Small left effusion."),
        ("HRCT was normal. An axial slice shows a cyst.", ""),
        ("The cardiothoracic ratio is increased.", "The cardiothoracic ratio is increased."),
        ("Cough for a week. PCR was positive.", ""),
        (
            "Chest X-ray on admission shows bilateral opacities.",
            "Chest X-ray on admission shows bilateral opacities.",
        ),
        ("Chest x-ray and CT show a mass.", ""),
        (
            "Presentation: Lungs hurt. Imaging Notes: Clear lungs.. No effusion.. Discussion: A classic effusion.",
            "Clear lungs. No effusion.",
        ),
        ("presentation: dyspnoea imaging findings: white-out of the left lung", "white-out of the left lung"),
        ("Lungs clear.", "Lungs clear."),
        ("", ""),
        (" .. ", ""),
    ],
)
def test_what_is_left_of_a_note(note, left):
    assert note_rules().clean(note) == left


def test_cleaning_twice_changes_nothing():
    note = "Admitted with fever. CXR: dense left lower lobe consolidation.. No effusion. CT confirmed it."
    once = note_rules().clean(note)
    assert once == "CXR: dense left lower lobe consolidation. No effusion."
    assert note_rules().clean(once) == once
