from __future__ import annotations

import numpy as np
import pytest

from medtrim.errors import ConfigError, TableError
from medtrim.evaluation import Figure
from research.pooling import differences, pool_method
from research.results import Column, Findings, insert_findings, markdown


def figure(value, seed, patients=40):
    replicates = value + 0.01 * np.random.default_rng(seed).standard_normal(200)
    return Figure("t", "m", value, 0.0, 1.0, n=40, patients=patients, replicates=replicates)


def pool(name, values):
    return pool_method(name, [[figure(v, i)] for i, v in enumerate(values)], fingerprint="f", seeds=3)


def test_the_pooled_value_is_the_mean_and_the_interval_knows_of_seeds():
    near, far = pool("near", [0.5, 0.5, 0.5]), pool("far", [0.3, 0.5, 0.7])
    assert near.result.figures[0].value == far.result.figures[0].value == pytest.approx(0.5)
    widths = [m.result.figures[0].high - m.result.figures[0].low for m in (near, far)]
    assert widths[1] > 3 * widths[0]
    assert far.spread(far.result.figures[0]) == pytest.approx(0.2)


def test_a_method_without_training_stands_for_every_seed():
    fixed = pool_method("fixed", [[figure(0.4, 0)]], fingerprint="f", seeds=3)
    assert fixed.result.figures[0].value == pytest.approx(0.4)
    np.testing.assert_allclose(fixed.result.figures[0].replicates, figure(0.4, 0).replicates)
    assert np.isnan(fixed.spread(fixed.result.figures[0]))


def test_seeds_with_other_figures_are_refused():
    with pytest.raises(TableError, match="'x' has not the same figures"):
        pool_method("x", [[figure(0.1, 0)], []], fingerprint="f", seeds=2)


def test_differences_and_their_table():
    methods = {"a": pool("a", [0.8, 0.8, 0.8]), "b": pool("b", [0.5, 0.5, 0.5])}
    found = differences(methods, "b")["a"][0]
    assert found.value == pytest.approx(0.3)
    assert found.low > 0.25
    findings = Findings("t", "T", methods, {"a": "Ours", "b": "Theirs"}, ["b"], [Column("M", "t", "m")])
    text = markdown(findings)
    assert "| Ours | **+30.0 (" in text
    assert "| Theirs | 50.0 (" in text
    assert "training seed(s)" not in text


def test_tables_go_between_the_marks_of_a_page_and_nowhere_else(tmp_path):
    methods = {"a": pool("a", [0.8, 0.8, 0.8]), "b": pool("b", [0.5, 0.5, 0.5])}
    findings = Findings("t", "T", methods, {"a": "Ours", "b": "Theirs"}, ["b", "a"], [Column("M", "t", "m")])
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- t:begin -->\nstale table\n<!-- t:end -->\nafter\n")
    insert_findings(page, findings)
    once = page.read_text()
    assert once.startswith("before\n<!-- t:begin -->\n**T**")
    assert once.endswith("<!-- t:end -->\nafter\n")
    assert "stale" not in once
    assert "Minus Theirs" in once
    assert "Minus Ours" not in once
    insert_findings(page, findings)
    assert page.read_text() == once
    page.write_text("no marks")
    with pytest.raises(ConfigError, match="once each"):
        insert_findings(page, findings)
