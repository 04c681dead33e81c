"""One rule for "better": the page and the Markdown of a suite say the same of every difference."""

from __future__ import annotations

import pytest

from medtrim.experiments.report.markdown import difference_table
from medtrim.experiments.report.tables import differences
from medtrim.experiments.results import SuiteResults
from medtrim.experiments.rows import Row

MARKDOWN = {"better": "better", "worse": "worse", "open": "–"}


@pytest.mark.parametrize(
    ("metric", "value", "p_holm", "verdict"),
    [
        ("fine P@10", 0.1, 0.04, "better"),
        ("fine P@10", -0.1, 0.04, "worse"),
        ("wrong side @R", 0.1, 0.04, "worse"),
        ("fine P@10", 0.1, 0.32, "open"),
        ("fine P@10", 0.01, 0.04, "open"),
    ],
)
def test_page_and_markdown_agree(metric: str, value: float, p_holm: float, verdict: str) -> None:
    row = Row(
        "best", "medtrim", "retrieval", metric, value, value - 0.05, value + 0.05, 90,
        direction="i2t", queries="abnormal", baseline="clip", p_holm=p_holm,
    )  # fmt: skip
    results = SuiteResults((row,), {"methods": {"clip": {"label": "CLIP"}}})
    assert [d.verdict for d in differences(results)] == [verdict]
    assert difference_table(results).splitlines()[-1].endswith(f"| {MARKDOWN[verdict]} |")
