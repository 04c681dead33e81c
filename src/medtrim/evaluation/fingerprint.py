"""Hashes of what two evaluations must have in common to be compared figure by figure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from medtrim.evaluation.options import EvaluationOptions
from medtrim.evaluation.prompts import PromptConfig
from medtrim.evaluation.reference import Reference

Parts = Mapping[str, str]
NONE = "none"


def fingerprint_of(reference: Reference, patients: Sequence[str], options: EvaluationOptions) -> str:
    """Hash of what every figure depends on: test studies, patients, truth, contradictions and bootstrap."""
    axes = {axis: dict(sorted(levels.items())) for axis, levels in sorted(options.contradictions.axes.items())}
    settings = f"{options.resamples} {options.seed} {options.min_count} {list(options.diseases)}"
    settings += " merged reports" if options.merge_reports else ""
    settings += f" prior {options.prior}" if options.prior else ""
    return _hash([*_rows(reference, patients), settings, json.dumps(axes)])


def studies_fingerprint(reference: Reference | None, patients: Sequence[str]) -> str:
    """Hash of the studies used for fitting or tuning (ids, patients, truth); `none` without any."""
    return NONE if reference is None else _hash(_rows(reference, patients))


def zero_shot_parts(tasks: Iterable[str], prompts: PromptConfig, tuning: str) -> dict[str, Parts]:
    """What zero-shot figures depend on: prompts, and for the thresholds of diseases the `tuning` studies."""
    names = {"names", "contrasts"}
    diseases = _hash([prompts.model_dump_json(exclude={"contrasts"})])
    contrasts = _hash([prompts.model_dump_json(include=names)])
    by_task: dict[str, Parts] = {}
    for task in tasks:
        whole = task == "zero-shot"
        by_task[task] = {"prompts": diseases, "tuning studies": tuning} if whole else {"prompts": contrasts}
    return by_task


def probe_parts(tasks: Iterable[str], train: str, options: EvaluationOptions) -> dict[str, Parts]:
    """What a probe's figures depend on: training studies with their labels, and how often they were drawn."""
    shares = {f"probe {share:.0%}": share for share in options.probe_fractions}
    return {
        task: {
            "probe training studies": train,
            "probe share": str(shares[task]),
            "probe repeats": str(1 if shares[task] == 1 else options.probe_repeats),
        }
        for task in tasks
    }


def pooled_fingerprint(parts: Iterable[str]) -> str:
    """Hash of the fingerprints of evaluations that are pooled, in their order."""
    return _hash(parts)


def _rows(reference: Reference, patients: Sequence[str]) -> list[str]:
    encoded = reference.encoded
    rows = []
    for i, (study_id, patient) in enumerate(zip(reference.study_ids, patients, strict=True)):
        d = encoded.inverse[i]
        truth = "|".join(
            f"{disease}:{encoded.adjective_sets.members(int(a))}:{encoded.direction_sets.members(int(s))}"
            for disease, a, s in zip(
                reference.diseases, encoded.adjective_codes[d], encoded.direction_codes[d], strict=True
            )
            if a >= 0
        )
        rows.append(f"{study_id}\x00{patient}\x00{truth}")
    return rows


def _hash(texts: Iterable[str]) -> str:
    digest = blake2b(digest_size=16)
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\x01")
    return digest.hexdigest()
