"""From a run's files to `Results`, and `Results` to Parquet and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from medtrim.data import fit_square, load_image
from medtrim.errors import ImageError
from medtrim.evaluation import EvaluationResult, read_evaluation
from medtrim.evaluation.agreement import disease_states
from medtrim.evaluation.truth import contradictions_of_table
from medtrim.experiments.config import PhantomSource, PipelineConfig
from medtrim.experiments.figures import differences, figures_of
from medtrim.experiments.gallery import SIDE, MethodEmbeddings, Picture, make_gallery
from medtrim.experiments.judge import MAP_NAME, read_map
from medtrim.experiments.layout import Layout
from medtrim.experiments.methods import MethodSpec
from medtrim.experiments.mining_facts import mining_facts
from medtrim.experiments.recipes import own_rate
from medtrim.experiments.results import (
    Corpus,
    Curve,
    Figure,
    GalleryQuery,
    Method,
    Results,
    StageTime,
)
from medtrim.experiments.stages import Done
from medtrim.experiments.truth import read_truth
from medtrim.experiments.validation import CURVES, curve_name
from medtrim.training import read_metrics
from medtrim.types import NO_FINDING, Annotation, Provenance, Study
from medtrim.types.tables import atomic_path, read_annotations, read_studies, write_table

ONE_RATE = "the recipe's or the command's, the same for every method"
FIGURE_COLUMNS = tuple(Figure.__dataclass_fields__)


@dataclass(frozen=True)
class Assembly:
    """What the results are put together from, besides the files of `layout`."""

    config: PipelineConfig
    layout: Layout
    methods: tuple[MethodSpec, ...]
    facts: Mapping[str, Mapping[str, Any]]
    stages: tuple[Done, ...]
    rejects: int
    recipes: Mapping[str, Any]
    from_scratch: bool
    versions: Mapping[str, str]
    command: str
    created: str


def assemble(given: Assembly) -> Results:
    """The results of a run whose every stage has ended."""
    layout, config = given.layout, given.config
    judged = {m.key: read_evaluation(layout.evaluation(m.key)) for m in given.methods}
    first = given.methods[0].key
    ids = judged[first].study_ids
    by_id = {s.study_id: s for s in read_studies(layout.studies)}
    test = [by_id[i] for i in ids]
    truth = {a.study_id: a for a in read_truth(layout.studies, layout.annotations, drawn=config.drawn)}
    read = {a.study_id: a for a in read_annotations(layout.annotations)}
    others = [m.key for m in given.methods[1:]]
    return Results(
        title=_title(given),
        corpus=_corpus(given, list(by_id.values()), [truth[i] for i in ids]),
        methods=tuple(_method(given, m) for m in given.methods),
        ours=first,
        baseline=others[0] if others else "",
        figures=tuple(_figures(judged)),
        curves=tuple(c for m in given.methods for c in _curves(layout, m.key)),
        gallery=_gallery(given, judged, test, [read[i] for i in ids]),
        maps=tuple(read_map(layout.evaluation(m.key) / MAP_NAME) for m in given.methods),
        timings=tuple(StageTime(s.title, s.seconds, s.reused) for s in given.stages),
        versions=given.versions,
        config={"pipeline": config.plain(), "training": _recipes(given)},
        seed=config.seed,
        command=given.command,
        created=given.created,
        from_scratch=given.from_scratch,
        facts=_facts(given),
        mining=mining_facts(layout.annotations, layout.triplets),
        labels_left_out=tuple(given.facts[f"evaluate-{first}"]["labels_left_out"]),
    )


def write_metrics(results: Results, path: Path) -> None:
    """Every figure and paired difference as Parquet, one row each."""
    rows = [asdict(f) for f in results.figures]
    schema = pa.schema(
        [
            (name, pa.float64() if name in ("value", "low", "high") else pa.int64() if name == "n" else pa.string())
            for name in FIGURE_COLUMNS
        ]
    )
    write_table(pa.Table.from_pylist(rows, schema=schema), path, Provenance("metrics", seed=results.seed))


def write_results(results: Results, path: Path) -> None:
    """The results as JSON, without reports, pictures and study ids; what is not a number is null."""
    plain = asdict(results)
    for name in ("gallery", "maps"):
        plain.pop(name)
    plain["maps"] = [
        {"method": m.method, "modality_gap": m.gap, "effective_rank": m.effective_rank} for m in results.maps
    ]
    with atomic_path(path) as part:
        part.write_text(json.dumps(_finite(plain), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _title(given: Assembly) -> str:
    labels = [m.label for m in given.methods]
    where = "drawn phantoms" if given.config.drawn else "your studies"
    return f"{labels[0]} against {' and '.join(labels[1:])} on {where}" if labels[1:] else f"{labels[0]} on {where}"


def _facts(given: Assembly) -> dict[str, str]:
    read, mined = given.facts["annotate"], given.facts["mine"]
    truth = "what was drawn" if given.config.drawn else "what the recogniser reads in the reports"
    facts = {"ontology": str(read["ontology"]), "relevance is judged by": truth}
    if "diseases_read_back" in read:
        facts["reports whose diseases are read back as drawn"] = f"{read['diseases_read_back']:.1%}"
        facts["with every descriptor as well"] = f"{read['descriptors_read_back']:.1%}"
    facts["triplets mined from the training split"] = f"{mined['triplets']:,}"
    return facts | ({"why no triplets": str(mined["why"])} if "why" in mined else {})


def _corpus(given: Assembly, studies: list[Study], truth: list[Annotation]) -> Corpus:
    source = given.config.source
    counts = {name: sum(s.split == name for s in studies) for name in ("train", "val", "test")}
    normal = sum(disease_states(a.findings)[0].disease == NO_FINDING for a in truth)
    tested = {a.study_id for a in truth}
    name = f"{source.studies:,} phantoms" if isinstance(source, PhantomSource) else source.path.name
    return Corpus(
        name=name,
        drawn=given.config.drawn,
        train=counts["train"],
        validation=counts["val"],
        test=len(truth),
        test_patients=len({s.patient_id for s in studies if s.study_id in tested}),
        test_normal=normal,
        rejects=given.rejects,
    )


def _rates(optimizer: Mapping[str, Any]) -> str:
    """The peak rate, and that of the matrices where they have one of their own."""
    rate = f"{optimizer['learning_rate']:g}"
    return f"{optimizer['matrix_learning_rate']:g} / {rate}" if optimizer["matrices"] == "muon" else rate


def _method(given: Assembly, method: MethodSpec) -> Method:
    trained = given.facts[f"train-{method.key}"]
    recipe = given.recipes[method.key]
    passes = trained["encodings"] / max(1, trained["studies"])
    facts = {
        "steps": f"{trained['steps']:,} of {recipe['batch']['size']}",
        "encodings a training study": f"{passes:.1f}",
        "peak learning rates": _rates(recipe["optimizer"]),
    }
    return Method(
        method.key,
        method.label,
        method.description,
        trained["seconds"],
        trained["encodings"],
        facts,
        sampler=recipe["batch"]["sampler"],
        normals=recipe["batch"]["normals"],
        tuning=method.tuning if own_rate(given.config) else ONE_RATE,
        caution=method.caution,
    )


def _figures(judged: Mapping[str, EvaluationResult]) -> list[Figure]:
    figures = [f for key, result in judged.items() for f in figures_of(result, method=key)]
    ours, *others = judged
    for other in others:
        figures += differences(judged[ours], judged[other], method=ours, baseline=other)
    return figures


def _curves(layout: Layout, method: str) -> list[Curve]:
    lines = read_metrics(layout.run(method) / "metrics.jsonl")
    names = {"loss": "training loss"} | {
        f"eval/{curve_name(m)}": f"validation: {m}, mean of image→text and text→image" for m in CURVES
    }
    curves = []
    for key, name in names.items():
        points = [(int(line["step"]), float(line[key])) for line in lines if key in line]
        if points:
            steps, values = zip(*points, strict=True)
            curves.append(Curve(method, name, steps, values))
    return curves


def _gallery(
    given: Assembly, judged: Mapping[str, EvaluationResult], test: list[Study], annotations: list[Annotation]
) -> tuple[GalleryQuery, ...]:
    def load(study: Study) -> Picture | None:
        try:
            return fit_square(load_image(given.layout.corpus / study.images[0], study_id=study.study_id), SIDE)
        except ImageError:
            return None  # it was readable when it was cached; the report says "no image"

    vectors = {
        key: MethodEmbeddings(result.embeddings.image, result.embeddings.text)
        for key, result in judged.items()
        if result.embeddings is not None
    }
    return make_gallery(
        vectors,
        test,
        annotations,
        load=load,
        seed=given.config.seed,
        contradictions=contradictions_of_table(given.layout.annotations),
    )


def _recipes(given: Assembly) -> dict[str, Any]:
    """What all methods share once, and what each has of its own; without paths."""
    plain = {
        key: {k: v for k, v in recipe.items() if k not in ("out", "data")} for key, recipe in given.recipes.items()
    }
    first = next(iter(plain.values()))
    shared = {k: v for k, v in first.items() if all(p[k] == v for p in plain.values())}
    own = {key: {k: v for k, v in p.items() if k not in shared} for key, p in plain.items()}
    return {"all methods": shared, **own}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
