from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

from medtrim.experiments.report.remarks import Remark, headline_differences, remarks, too_small
from medtrim.experiments.results import Results
from medtrim.experiments.training_words import budget_words


def of_kind(results: Results, kind: str) -> list[Remark]:
    return [r for r in remarks(results) if r.kind == kind]


def with_difference(results: Results, value: float, half: float) -> Results:
    """`results` with every difference set to value ± half."""
    return replace(
        results,
        figures=tuple(
            replace(f, value=value, low=value - half, high=value + half) if f.baseline else f
            for f in results.figures
        ),
    )


def test_a_small_corpus_is_said_to_be_too_small(results: Results) -> None:
    assert not too_small(results)
    small = replace(
        results, corpus=dataclasses.replace(results.corpus, train=90, test=40, test_normal=10, test_patients=1)
    )
    texts = " ".join(r.text for r in of_kind(small, "caution"))
    assert "far too small" in texts
    assert "30 abnormal test queries in a test split of 1 patient." in texts
    assert "90 different studies" in texts


def test_wide_intervals_alone_make_it_too_small(results: Results) -> None:
    wide = replace(
        results, figures=tuple(replace(f, low=f.value - 0.2, high=f.value + 0.2) for f in results.figures)
    )
    assert too_small(wide)
    assert "± 20 points" in of_kind(wide, "caution")[0].text


def test_pretrained_encoders_are_not_called_random(results: Results) -> None:
    few = replace(results, corpus=dataclasses.replace(results.corpus, train=90), from_scratch=False)
    assert not any("random weights" in r.text for r in remarks(few))


def test_a_short_training_is_said_to_be_short(results: Results) -> None:
    assert not any("short" in r.text for r in remarks(results))
    short = replace(results, methods=tuple(dataclasses.replace(m, encodings=4000) for m in results.methods))
    assert any("seen 0.7 times" in r.text for r in of_kind(short, "caution"))
    assert not any("short" in r.text for r in remarks(replace(short, from_scratch=False)))


def test_losses_on_normal_queries_are_said(results: Results) -> None:
    model = headline_differences(results)[0]
    away = tuple(f for f in results.figures if f.queries != "normal")
    assert not any("normal queries" in r.text for r in remarks(replace(results, figures=away)))
    worse = dataclasses.replace(
        model, queries="normal", metric="disease P@10", direction="image→text", value=-0.2, low=-0.3, high=-0.1
    )
    better = dataclasses.replace(worse, direction="text→image", value=0.2, low=0.1, high=0.3)
    said = [r for r in remarks(replace(results, figures=(*away, worse, better))) if "normal queries" in r.text]
    assert [r.kind for r in said] == ["loss"]
    assert "in 1 of 2 directions" in said[0].text
    assert len(said[0].items) == 1
    assert "−20.0" in said[0].items[0]


def test_gains_losses_and_open_questions_are_told_apart(results: Results) -> None:
    total = len(headline_differences(results))
    assert total == 20
    (gain,) = of_kind(with_difference(results, 0.1, 0.05), "gain")
    assert gain.text.startswith(f"MedTrim is ahead of CLIP on {total} of {total}")
    assert "image→text +10.0 (+5.0 to +15.0)" in gain.items[0]
    loss, normal = of_kind(with_difference(results, -0.1, 0.05), "loss")
    assert f"behind CLIP on {total} of {total}" in loss.text
    assert "leaves normal queries out" in normal.text
    (undecided,) = of_kind(with_difference(results, 0.1, 0.2), "open")
    assert "cannot be told from" in undecided.text


def test_no_winner_is_named_on_too_little_data(results: Results) -> None:
    few = replace(with_difference(results, 0.1, 0.05), corpus=dataclasses.replace(results.corpus, test=60))
    assert not of_kind(few, "gain")
    (undecided,) = of_kind(few, "open")
    assert "settles nothing" in undecided.text
    assert len(undecided.items) == 5


def test_a_gain_in_ndcg_alone_is_named(results: Results) -> None:
    figures = tuple(
        replace(f, value=0.1, low=0.05, high=0.15)
        if f.baseline and f.metric == "nDCG@10"
        else replace(f, value=0.0, low=-0.05, high=0.05)
        if f.baseline
        else f
        for f in results.figures
    )
    notes = [r.text for r in of_kind(replace(results, figures=figures), "note")]
    (alone,) = [text for text in notes if "nDCG@10 rises while attribute AUC does not" in text]
    assert alone.startswith("In image→text, text→image, image→image and text→text,")


def test_chance_is_called_chance(results: Results) -> None:
    figures = tuple(
        replace(f, value=0.52, low=0.48, high=0.56)
        if f.metric == "attribute AUC" and f.method == "clip" and f.direction == "image→text"
        else replace(f, low=0.6, value=0.7, high=0.8)
        if f.metric == "attribute AUC"
        else f
        for f in results.figures
    )
    texts = [r.text for r in of_kind(replace(results, figures=figures), "caution")]
    assert any("CLIP tells descriptors apart no better than chance in image→text " in t for t in texts)
    assert not any("MedTrim tells descriptors" in t for t in texts)


def test_what_cannot_be_measured_is_said(results: Results) -> None:
    texts = [r.text for r in of_kind(replace(results, figures=()), "caution")]
    assert any("Nothing could be measured" in t for t in texts)


def test_intervals_that_do_not_exist_do_not_decide(results: Results) -> None:
    without = replace(
        results, figures=tuple(replace(f, low=math.nan, high=math.nan) for f in results.figures if f.baseline)
    )
    assert not of_kind(without, "gain")
    assert not of_kind(without, "loss")
    assert not of_kind(without, "open")
    assert any(r.text.startswith("20 of 20 headline differences have no interval") for r in remarks(without))


def test_phantoms_and_rejects_are_named(results: Results) -> None:
    assert any("drawn phantoms" in r.text for r in remarks(results))
    real = replace(results, corpus=dataclasses.replace(results.corpus, drawn=False, rejects=1))
    assert not any("drawn phantoms" in r.text for r in remarks(real))
    assert any(r.text.startswith("1 record could not be used") for r in remarks(real))


def with_methods(results: Results, **fields: tuple[str, str]) -> Results:
    changed = [
        dataclasses.replace(m, **{name: values[i] for name, values in fields.items()})
        for i, m in enumerate(results.methods)
    ]
    return replace(results, methods=tuple(changed))


def test_how_the_dials_were_set_is_said(results: Results) -> None:
    assert not any("learning rates" in r.text for r in remarks(results))
    (alike,) = [r for r in remarks(with_methods(results, tuning=("grid", "grid"))) if "learning rates" in r.text]
    assert alike.items == ("MedTrim, CLIP: grid",)
    (each,) = [r for r in remarks(with_methods(results, tuning=("grid", "guess"))) if "learning rates" in r.text]
    assert each.items == ("MedTrim: grid", "CLIP: guess")


def test_what_was_searched_for_one_method_alone_is_a_caution(results: Results) -> None:
    searched = with_methods(results, caution=("25 variants of the kernel", ""))
    (caution,) = [r for r in of_kind(searched, "caution") if "searched" in r.text]
    assert caution.items == ("MedTrim: 25 variants of the kernel",)
    alone = replace(searched, methods=searched.methods[:1])
    assert not any("searched" in r.text for r in remarks(alone))


def test_the_same_batches_are_claimed_only_where_they_are(results: Results) -> None:
    assert "The batches are the same too, in the same order." in budget_words(results)
    mixed = budget_words(with_methods(results, sampler=("shuffle", "triplets")))
    assert (
        "those of MedTrim deal all studies out once an epoch, those of CLIP are filled with mined triplets" in mixed
    )
    thinned = budget_words(with_methods(results, normals=(0.5, 1.0)))
    assert "those of MedTrim deal 50% of the normal studies an epoch" in thinned
    assert "those of CLIP deal all studies out" in thinned
    assert "same order" not in mixed
