from __future__ import annotations

import pytest

from medtrim.data.views import is_frontal, view_name, view_order


@pytest.mark.parametrize(
    ("code", "name", "frontal"),
    [
        ("postero_anterior", "PA", True),
        ("AP Supine", "AP", True),
        ("AP semi-erect", "AP", True),
        ("LL", "LATERAL", False),
        (" SWIMMERS ", "SWIMMERS", False),
        ("", "", False),
    ],
)
def test_views_have_one_name_for_their_spellings(code, name, frontal):
    assert (view_name(code), is_frontal(code)) == (name, frontal)


def test_pa_comes_first_and_lateral_last():
    assert sorted(["L", "?", "AP Supine", "PA"], key=view_order) == ["PA", "AP Supine", "?", "L"]
