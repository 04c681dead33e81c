from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from medtrim.experiments.report.remarks import Remark, budget_words, remarks, too_small
from medtrim.experiments.results import SuiteResults
from medtrim.experiments.rows import Row


def of_kind(results: SuiteResults, kind: str) -> list[Remark]:
    return [r for r in remarks(results) if r.kind == kind]


def with_rows(results: SuiteResults, change: Callable[[Row], Row]) -> SuiteResults:
    return SuiteResults(tuple(change(row) for row in results.rows), results.facts)


def with_difference(results: SuiteResults, value: float, half: float, *, p_holm: float = 0.02) -> SuiteResults:
    """`results` with every difference a gain of `value` ± half."""

    def change(row: Row) -> Row:
        if not row.baseline:
            return row
        gain = value if row.key.info.better == "higher" else -value
        p = row.p_holm if row.p_holm != row.p_holm else p_holm
        return replace(row, value=gain, low=gain - half, high=gain + half, p_holm=p)

    return with_rows(results, change)


def with_facts(results: SuiteResults, **facts: Any) -> SuiteResults:
    return SuiteResults(results.rows, {**results.facts, **facts})


def with_corpus(results: SuiteResults, **fields: Any) -> SuiteResults:
    return with_facts(results, corpus={**results.facts["corpus"], **fields})


def with_methods(results: SuiteResults, **fields: tuple[Any, Any]) -> SuiteResults:
    methods: Mapping[str, Mapping[str, Any]] = results.facts["methods"]
    changed = {
        key: {**method, **{name: values[i] for name, values in fields.items()}}
        for i, (key, method) in enumerate(methods.items())
    }
    return with_facts(results, methods=changed)


def test_a_small_corpus_is_said_to_be_too_small(results: SuiteResults) -> None:
    assert not too_small(results)
    small = with_corpus(results, train=90, test=40, test_normal=10, test_patients=1)
    texts = " ".join(r.text for r in of_kind(small, "caution"))
    assert "far too small" in texts
    assert "40 test queries, 30 of them with a finding, of 1 patient." in texts
    assert "90 different studies" in texts


def test_wide_intervals_alone_make_it_too_small(results: SuiteResults) -> None:
    wide = with_rows(results, lambda r: replace(r, low=r.value - 0.2, high=r.value + 0.2))
    assert too_small(wide)
    assert "± 20 points" in of_kind(wide, "caution")[0].text


def test_pretrained_encoders_are_not_called_random(results: SuiteResults) -> None:
    few = with_facts(with_corpus(results, train=90), from_scratch=False)
    assert not any("random weights" in r.text for r in remarks(few))


def test_a_short_training_is_said_to_be_short(results: SuiteResults) -> None:
    assert not any("short" in r.text for r in remarks(results))
    runs = {m: {**facts, "encodings": 4000.0} for m, facts in results.facts["runs"].items()}
    short = with_facts(results, runs=runs)
    assert any("seen 0.7 times" in r.text for r in of_kind(short, "caution"))
    assert not any("short" in r.text for r in remarks(with_facts(short, from_scratch=False)))


def test_gains_losses_and_open_questions_are_told_apart(results: SuiteResults) -> None:
    assert len(results.of("best")) == 16
    (gain,) = of_kind(with_difference(results, 0.1, 0.05), "gain")
    assert gain.text.startswith("MedTrim is ahead of CLIP on 16 of 16 headline figures")
    assert "image→text +10.0 (+5.0 to +15.0)" in gain.items[0]
    loss, normal = of_kind(with_difference(results, -0.1, 0.05), "loss")
    assert "behind CLIP on 16 of 16" in loss.text
    assert "Among normal queries alone" in normal.text
    (undecided,) = of_kind(with_difference(results, 0.1, 0.2), "open")
    assert "cannot be told from" in undecided.text


def test_an_interval_without_a_corrected_p_decides_nothing(results: SuiteResults) -> None:
    uncorrected = with_difference(results, 0.1, 0.05, p_holm=0.32)
    assert not of_kind(uncorrected, "gain")
    (undecided,) = of_kind(uncorrected, "open")
    assert "cannot be told from" in undecided.text


def test_the_best_of_several_others_is_not_named_as_one(results: SuiteResults) -> None:
    third = [replace(r, method="siglip") for r in results.of("pooled") if r.method == "clip"]
    methods = {**results.facts["methods"], "siglip": {**results.facts["methods"]["clip"], "label": "SigLIP"}}
    runs = {**results.facts["runs"], "siglip": results.facts["runs"]["clip"]}
    facts = {"methods": methods, "runs": runs, "rivals": ["clip", "siglip"], "order": ["medtrim", "clip", "siglip"]}
    three = with_facts(SuiteResults((*results.rows, *third), results.facts), **facts)
    (gain,) = of_kind(with_difference(three, 0.1, 0.05), "gain")
    assert gain.text.startswith("MedTrim is ahead of the best other method on 16 of 16")


def test_figures_within_one_modality_are_listed_beside_the_headline(results: SuiteResults) -> None:
    (within,) = [r for r in of_kind(with_difference(results, 0.1, 0.05), "note") if "Within one" in r.text]
    assert "MedTrim − CLIP" in within.text
    assert within.items[0] == "disease P@10: image→image +10.0 (+5.0 to +15.0), text→text +10.0 (+5.0 to +15.0)"
    assert [item.partition(":")[0] for item in within.items] == [
        "disease P@10", "fine P@10", "conflict-free@R", "attribute AUC", "disease AUC"
    ]  # fmt: skip


def test_losses_on_normal_queries_are_said(results: SuiteResults) -> None:
    away = SuiteResults(tuple(r for r in results.rows if r.queries != "normal"), results.facts)
    assert not any("normal queries" in r.text for r in remarks(away))
    model = results.of("difference")[0]
    worse = replace(
        model, queries="normal", metric="disease P@10", direction="i2t", value=-0.2, low=-0.3, high=-0.1, p=0.001
    )
    better = replace(worse, direction="t2i", value=0.2, low=0.1, high=0.3)
    some = SuiteResults((*away.rows, worse, better), results.facts)
    (remark,) = [r for r in remarks(some) if "normal queries" in r.text]
    assert remark.kind == "loss"
    assert "in 1 of 2 directions" in remark.text
    assert len(remark.items) == 1
    assert "−20.0" in remark.items[0]
    chance = SuiteResults((*away.rows, replace(worse, p=0.04), replace(better, p=0.5)), results.facts)
    assert not any("normal queries" in r.text for r in remarks(chance)), "0.04 of two comparisons is 0.08"


def test_no_winner_is_named_on_too_little_data(results: SuiteResults) -> None:
    few = with_corpus(with_difference(results, 0.1, 0.05), test=60, test_normal=15)
    assert not of_kind(few, "gain")
    (undecided,) = of_kind(few, "open")
    assert "settles nothing" in undecided.text
    assert len(undecided.items) == 9


def test_a_gain_in_ndcg_alone_is_named(results: SuiteResults) -> None:
    def change(row: Row) -> Row:
        if not row.baseline:
            return row
        value = 0.1 if row.metric == "nDCG@10" else 0.0
        return replace(row, value=value, low=value - 0.05, high=value + 0.05)

    notes = [r.text for r in of_kind(with_rows(results, change), "note")]
    (alone,) = [text for text in notes if "nDCG@10 rises while attribute AUC does not" in text]
    assert alone.startswith("In image→text, text→image, image→image and text→text,")


def test_chance_is_called_chance(results: SuiteResults) -> None:
    def change(row: Row) -> Row:
        if row.metric != "attribute AUC" or row.baseline:
            return row
        if row.method == "clip" and row.direction == "i2t":
            return replace(row, value=0.52, low=0.48, high=0.56)
        return replace(row, low=0.6, value=0.7, high=0.8)

    texts = [r.text for r in of_kind(with_rows(results, change), "caution")]
    assert any("CLIP tells descriptors apart no better than chance in image→text " in t for t in texts)
    assert not any("MedTrim tells descriptors" in t for t in texts)


def test_what_cannot_be_measured_is_said(results: SuiteResults) -> None:
    texts = [r.text for r in of_kind(SuiteResults((), results.facts), "caution")]
    assert any("Nothing could be measured" in t for t in texts)


def test_intervals_that_do_not_exist_do_not_decide(results: SuiteResults) -> None:
    without = with_rows(results, lambda r: replace(r, low=math.nan, high=math.nan, p=math.nan) if r.baseline else r)
    for kind in ("gain", "loss", "open"):
        assert not of_kind(without, kind)
    assert any(r.text.startswith("16 of 16 headline differences have no interval") for r in remarks(without))


def test_one_seed_is_said_to_be_one(results: SuiteResults) -> None:
    assert any("with one seed" in r.text for r in remarks(results))
    assert not any("with one seed" in r.text for r in remarks(with_facts(results, seeds=[0, 1])))


def test_phantoms_and_rejects_are_named(results: SuiteResults) -> None:
    assert any("drawn phantoms" in r.text for r in remarks(results))
    real = with_corpus(results, drawn=False, reference="annotations", rejects=1)
    assert not any("drawn phantoms" in r.text for r in remarks(real))
    assert any("have no labels" in r.text for r in remarks(real))
    assert any(r.text.startswith("1 record could not be used") for r in remarks(real))


def test_how_learning_rates_were_chosen_is_said(results: SuiteResults) -> None:
    assert not any("learning rates" in r.text for r in remarks(results))
    (alike,) = [r for r in remarks(with_methods(results, tuning=("grid", "grid"))) if "learning rates" in r.text]
    assert alike.items == ("MedTrim (0.02 / 0.003), CLIP (0.02 / 0.003): grid",)
    (each,) = [r for r in remarks(with_methods(results, tuning=("grid", "guess"))) if "learning rates" in r.text]
    assert each.items == ("MedTrim (0.02 / 0.003): grid", "CLIP (0.02 / 0.003): guess")


def test_what_was_searched_for_one_method_alone_is_a_caution(results: SuiteResults) -> None:
    searched = with_methods(results, caution=("25 variants of the kernel", ""))
    (caution,) = [r for r in of_kind(searched, "caution") if "searched" in r.text]
    assert caution.items == ("MedTrim: 25 variants of the kernel",)
    alone = SuiteResults(
        tuple(r for r in searched.rows if r.method == "medtrim" and not r.baseline), searched.facts
    )
    assert not any("searched" in r.text for r in remarks(alone))


def test_the_same_batches_are_claimed_only_where_they_are(results: SuiteResults) -> None:
    assert "The batches are the same too, in the same order." in budget_words(results)
    mixed = budget_words(with_methods(results, sampler=("shuffle", "triplets")))
    assert "those of MedTrim take every study once an epoch, those of CLIP are filled with mined triplets" in mixed
    thinned = budget_words(with_methods(results, normals=(0.5, 1.0)))
    assert "those of MedTrim take 50% of the normal studies an epoch" in thinned
    assert "those of CLIP take every study" in thinned
    assert "same order" not in mixed
