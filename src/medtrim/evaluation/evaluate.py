"""One call from a checkpoint, or from embeddings, to every figure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from medtrim.data.cache import ImageCache
from medtrim.data.splits import check_patient_overlap, of_splits, select_split
from medtrim.entities import captions_of
from medtrim.errors import ConfigError, TableError
from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.diagnostics import diagnose
from medtrim.evaluation.embed import embed_studies, embed_texts
from medtrim.evaluation.evaluation_set import EvaluationSet
from medtrim.evaluation.figures import Figure
from medtrim.evaluation.fingerprint import Parts, fingerprint_of, probe_parts, studies_fingerprint, zero_shot_parts
from medtrim.evaluation.linear_probe import linear_probe
from medtrim.evaluation.options import EvaluationOptions
from medtrim.evaluation.prompts import PromptConfig, load_prompts
from medtrim.evaluation.result import EvaluationResult
from medtrim.evaluation.retrieval import retrieval_figures
from medtrim.evaluation.zero_shot import EncodeTexts, disease_labels, enough, zero_shot
from medtrim.models import EncoderBundle
from medtrim.types import Annotation, Contradictions, Study
from medtrim.types.processes import Engine
from medtrim.types.tables import Progress, no_progress


def evaluate(
    bundle: EncoderBundle,
    studies: Sequence[Study],
    annotations: Sequence[Annotation],
    *,
    method: str,
    cache: ImageCache | None = None,
    root: Path | str | None = None,
    split: str = "test",
    train_split: str = "train",
    tune_split: str = "val",
    options: EvaluationOptions | None = None,
    prompts: PromptConfig | None = None,
    engine: Engine = Engine.process,
    workers: int = 1,
    progress: Progress = no_progress,
) -> EvaluationResult:
    """Embed the studies of `split` and evaluate them against `annotations`.

    The studies of `train_split` are embedded for linear probes, those of `tune_split` (where there are any) to set
    the threshold of zero-shot F1. Without a training split there are no probes, and the facts say so.

    Args:
        method: name in the tables.
        cache, root: where the images are, as `embed_studies` takes them.
        engine, workers: who embeds, as there.

    Raises:
        TableError: no study in `split`, a patient in two splits, or a study without annotation or patient.
    """
    options = options or EvaluationOptions()
    used = {split, train_split, tune_split}
    check_patient_overlap(of_splits(studies, used))
    tested = select_split(studies, split)
    wanted = [split]
    wanted += [train_split] if options.probes and train_split != split else []
    wanted += [tune_split] if options.zero_shot and tune_split != split else []
    chosen = of_splits(studies, wanted)
    embedded = embed_studies(
        bundle,
        chosen,
        cache,
        root=root,
        batch_size=options.batch_size,
        engine=engine,
        workers=workers,
        progress=progress,
    )
    patients = {s.study_id: s.patient_id for s in chosen}
    ids: dict[str, list[str]] = {name: [] for name in wanted}
    usable = set(embedded.study_ids)
    for study in chosen:
        if study.study_id in usable:
            ids[study.split].append(study.study_id)
    rejects = embedded.rejects
    parts = {
        name: EvaluationSet.align(embedded.select(sorted(found)), annotations, patients, options=options)
        for name, found in ids.items()
        if found
    }
    del embedded  # the parts hold copies
    if split not in parts:
        raise TableError(f"no study of split {split!r} has a usable image")
    result = evaluate_embeddings(
        parts[split],
        method=method,
        train=parts.get(train_split) if train_split != split else None,
        tuning=parts.get(tune_split) if tune_split != split else None,
        encode=lambda texts: embed_texts(bundle, texts),
        prompts=prompts,
        reports={s.study_id: s.report for s in tested} if options.merge_reports or options.prior else None,
        scale=float(bundle.model.logit_scale.detach().exp()),
        options=options,
    )
    counts = {f"{name}_studies": len(part.patients) for name, part in parts.items()}
    there = {s.study_id for s in tested}
    rejected = sum(r.study_id in there for r in rejects)
    facts = {**result.facts, "split": split, **counts, "test_rejects": rejected, "rejects": len(rejects)}
    return replace(result, facts=facts, embeddings=replace(parts[split].embeddings, rejects=rejects))


def evaluate_embeddings(
    test: EvaluationSet,
    *,
    method: str,
    train: EvaluationSet | None = None,
    tuning: EvaluationSet | None = None,
    encode: EncodeTexts | None = None,
    prompts: PromptConfig | None = None,
    reports: Mapping[str, str] | None = None,
    scale: float | None = None,
    options: EvaluationOptions | None = None,
) -> EvaluationResult:
    """Every figure of embeddings, whatever made them: zero-shot needs `encode`, probes need `train`.

    Args:
        reports: study id → report text; only `options.merge_reports` and `options.prior` look at it.
        scale: inverse temperature that the model was trained with; only `options.prior` asks for it.

    Raises:
        ConfigError: reports are to be merged, or a prior is to be taken, and what that needs was not given.
    """
    options = options or EvaluationOptions()
    bootstrap = PatientBootstrap(test.patients, resamples=options.resamples, seed=options.seed)
    image, text = test.embeddings.image, test.embeddings.text
    retrieval = retrieval_figures(
        image,
        text,
        test.reference,
        bootstrap,
        directions=options.directions,
        same_report=_report_codes(test, reports) if options.merge_reports else None,
        text_prior=_prior(test, reports, scale, options.prior) if options.prior else None,
    )
    figures: list[Figure] = [*retrieval.figures, *diagnose(image, text, bootstrap)]
    parts: dict[str, Parts] = {}
    if options.zero_shot and encode is not None:
        prompts = prompts or load_prompts()
        classified = zero_shot(
            image,
            test.reference,
            bootstrap,
            encode,
            prompts,
            tuning_image=tuning.embeddings.image if tuning else None,
            tuning=tuning.reference if tuning else None,
            min_count=options.min_count,
        )
        tuned = studies_fingerprint(tuning.reference if tuning else None, tuning.patients if tuning else ())
        parts |= zero_shot_parts(_tasks(classified), prompts, tuned)
        figures += classified
    if options.probes and train is not None:
        if set(train.patients) & set(test.patients):
            raise TableError("linear probe: a patient is in both the training and the test studies")
        probed = linear_probe(
            train.embeddings.image,
            train.reference,
            train.patients,
            image,
            test.reference,
            bootstrap,
            fractions=options.probe_fractions,
            repeats=options.probe_repeats,
            seed=options.seed,
            min_count=options.min_count,
        )
        parts |= probe_parts(_tasks(probed), studies_fingerprint(train.reference, train.patients), options)
        figures += probed
    return EvaluationResult(
        method=method,
        figures=tuple(figures),
        fingerprint=fingerprint_of(test.reference, test.patients, options),
        task_fingerprints=parts,
        facts={
            **_facts(test, train, options, labels=bool(parts)),
            "trivial": _trivial(retrieval.figures, len(test.reference)),
        },
        queries=retrieval.queries,
        study_ids=test.reference.study_ids,
        embeddings=test.embeddings,
    )


def report_prior(reports: Sequence[str], *, scale: float, strength: float) -> Float64[np.ndarray, " reports"]:
    """λ log(n_r / max n) / s of each report r: what ranking by s · cos + λ log n adds to its cosine, at most 0.

    n_r is the number of reports in the gallery in which OBER reads the same (`captions_of`). The cosines of a
    contrastive model rank by likelihood ratio, however common a reading is
    (`medtrim.objectives.AffinityObjective`); this takes the archive's own frequencies into account, without labels
    or training. At λ = 1 the ranking is by how probable the reading is.

    Args:
        reports: texts of the gallery.
        scale: s, the model's inverse temperature.
        strength: λ, in [0, 1].
    """
    _, reading, counts = np.unique(captions_of(reports), return_inverse=True, return_counts=True)
    return np.asarray(strength / scale * np.log(counts[reading] / counts.max()))


def _prior(
    test: EvaluationSet, reports: Mapping[str, str] | None, scale: float | None, strength: float
) -> Float64[np.ndarray, " studies"]:
    if reports is None or scale is None:
        raise ConfigError("prior needs the studies' reports and the model's scale, and there are embeddings alone")
    return report_prior([reports[s] for s in test.reference.study_ids], scale=scale, strength=strength)


def _report_codes(test: EvaluationSet, reports: Mapping[str, str] | None) -> np.ndarray:
    if reports is None:
        raise ConfigError("merge_reports needs the studies' reports, and there are embeddings alone")
    texts = [reports[study_id] for study_id in test.reference.study_ids]
    return np.asarray(np.unique(texts, return_inverse=True)[1])


def _tasks(figures: Sequence[Figure]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f.task for f in figures))


def _trivial(figures: Sequence[Figure], studies: int) -> list[str]:
    """Metrics whose cut takes in the whole gallery, so that any model reaches 100 %; without its own, one less."""
    reach = {f.metric: studies if f.own_in_gallery else studies - 1 for f in figures if f.task == "retrieval"}
    cuts = {m: re.fullmatch(r"R@(\d+)|(?:disease|fine) P@(\d+)", m) for m in reach}
    return [m for m, cut in cuts.items() if cut and int(cut[1] or cut[2]) >= reach[m]]


def _facts(
    test: EvaluationSet, train: EvaluationSet | None, options: EvaluationOptions, *, labels: bool
) -> dict[str, Any]:
    """Counts and options; `labels`: whether anything was classified, so that labels can be too rare for it."""
    positives = disease_labels(test.reference) if labels else {}
    rare = [name for name, positive in positives.items() if not enough(positive, options.min_count)]
    settings = asdict(replace(options, contradictions=Contradictions()))
    settings["contradictions"] = sorted(options.contradictions.axes)
    return {
        "studies": len(test.reference),
        "unread": len(test.unread),
        "patients": len(set(test.patients)),
        "normal": int(test.reference.is_normal.sum()),
        "distinct_findings": len(np.unique(test.reference.fine)),
        "dimension": int(test.embeddings.image.shape[1]),
        "labels_left_out": rare,
        "probes": "made" if train is not None and options.probes else "no training studies",
        "options": {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()},
    }
