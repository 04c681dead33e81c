"""Right answers: forty queries of nine kinds against the truth of the phantoms that an index holds.

    python benchmarks/bench_search_quality.py INDEX STUDIES [--split test] [--modes both,embedding,findings]

STUDIES is the phantoms' table; `reference.parquet` beside it says what was drawn into each picture, which no
ranking sees (the reports that the recogniser reads were written from it). A hit counts when the truth has every
finding that the query states, with its side, and none that it denies; for a whole report, a picture or a study,
when it has all the diseases of the study that was asked by. Precision at 10 divides by the number of relevant
studies where there are fewer.

With --weights 0.1,0.3 mode `both` is measured at each: how `ranking.WEIGHT` was chosen, on the validation split.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medtrim.data import load_image
from medtrim.search.query import Mode, Query
from medtrim.search.searcher import Searcher
from medtrim.search.store import StudyIndex
from medtrim.types import Study
from medtrim.types.tables import read_annotations, read_studies

TOP = 10
Wish = tuple[str, tuple[str, ...]]

TEXTS: tuple[tuple[str, str, tuple[Wish, ...], tuple[str, ...]], ...] = (
    ("bare", "pleural effusion", (("pleural effusion", ()),), ()),
    ("bare", "pneumothorax", (("pneumothorax", ()),), ()),
    ("bare", "fracture", (("fracture", ()),), ()),
    ("bare", "nodule", (("lung lesion", ()),), ()),
    ("bare", "mass", (("lung lesion", ()),), ()),
    ("bare", "cardiomegaly", (("cardiomegaly", ()),), ()),
    ("bare", "consolidation", (("consolidation", ()),), ()),
    ("bare", "pulmonary edema", (("edema", ()),), ()),
    ("side", "left pleural effusion", (("pleural effusion", ("left",)),), ()),
    ("side", "right pleural effusion", (("pleural effusion", ("right",)),), ()),
    ("side", "left pneumothorax", (("pneumothorax", ("left",)),), ()),
    ("side", "right rib fracture", (("fracture", ("right",)),), ()),
    ("side", "right consolidation", (("consolidation", ("right",)),), ()),
    ("severity", "large pleural effusion", (("pleural effusion", ("large",)),), ()),
    ("severity", "small pneumothorax", (("pneumothorax", ("small",)),), ()),
    ("severity", "mild cardiomegaly", (("cardiomegaly", ("mild",)),), ()),
    ("severity", "large left pleural effusion", (("pleural effusion", ("large", "left")),), ()),
    ("zone", "left lower lobe consolidation", (("consolidation", ("left", "lower")),), ()),
    ("zone", "right upper lobe nodule", (("lung lesion", ("right", "upper")),), ()),
    ("zone", "right apical pneumothorax", (("pneumothorax", ("right", "apical")),), ()),
    ("zone", "left lower lobe nodule", (("lung lesion", ("left", "lower")),), ()),
    ("negated", "pleural effusion, no cardiomegaly", (("pleural effusion", ()),), ("cardiomegaly",)),
    ("negated", "cardiomegaly without pleural effusion", (("cardiomegaly", ()),), ("pleural effusion",)),
    ("negated", "pneumothorax without rib fracture", (("pneumothorax", ()),), ("fracture",)),
    ("negated", "no pleural effusion", (), ("pleural effusion",)),
    ("negated", "left consolidation and no effusion", (("consolidation", ("left",)),), ("pleural effusion",)),
    ("two", "cardiomegaly and pleural effusion", (("cardiomegaly", ()), ("pleural effusion", ())), ()),
    ("two", "pneumothorax and rib fracture", (("pneumothorax", ()), ("fracture", ())), ()),
    ("two", "consolidation with pleural effusion", (("consolidation", ()), ("pleural effusion", ())), ()),
    ("two", "cardiomegaly and pulmonary edema", (("cardiomegaly", ()), ("edema", ())), ()),
)
OPPOSITE = {"left": "right", "right": "left"}
Truths = dict[str, list[dict[str, Any]]]
Relevant = Callable[[Sequence[dict[str, Any]]], bool]


@dataclass(frozen=True, slots=True)
class Case:
    """A query, what makes a hit relevant, on which side each disease is asked for, and what is denied."""

    kind: str
    query: Query
    relevant: Relevant
    sides: dict[str, str]
    denied: tuple[str, ...] = ()


def present(truth: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The findings that are not denied."""
    return [f for f in truth if f["assertion"] != "absent"]


def has(truth: Sequence[dict[str, Any]], wish: Wish) -> bool:
    """Whether one finding of the study has the disease and all the words."""
    disease, words = wish
    return any(
        f["disease"] == disease and set(words) <= {*f["adjectives"], *f["directions"]} for f in present(truth)
    )


def text_case(kind: str, text: str, wishes: tuple[Wish, ...], denied: tuple[str, ...]) -> Case:
    """A query by words."""
    sides = {disease: word for disease, words in wishes for word in words if word in OPPOSITE}

    def relevant(truth: Sequence[dict[str, Any]]) -> bool:
        return all(has(truth, w) for w in wishes) and not any(has(truth, (d, ())) for d in denied)

    return Case(kind, Query(text), relevant, sides, denied)


def study_cases(studies: Sequence[Study], root: Path, truth: Truths, pictures: int) -> list[Case]:
    """Four reports, `pictures` pictures and three pictures with words, from abnormal studies at even distances."""
    abnormal = [s for s in studies if len({f["disease"] for f in present(truth[s.study_id])}) == 1]
    chosen = [abnormal[i] for i in np.linspace(0, len(abnormal) - 1, 7 + pictures).astype(int)]
    cases = []
    for number, study in enumerate(chosen):
        diseases = {f["disease"] for f in present(truth[study.study_id])}

        def relevant(truth: Sequence[dict[str, Any]], diseases: set[str] = diseases) -> bool:
            return diseases <= {f["disease"] for f in present(truth)}

        if number < 4:
            cases.append(Case("report", Query(study.report), relevant, {}))
            continue
        picture = load_image(root / study.images[0], study_id=study.study_id)
        text = "" if number < 4 + pictures else sorted(diseases)[0]
        cases.append(Case("image + words" if text else "image", Query(text, image=picture), relevant, {}))
    return cases


def measure(searcher: Searcher, cases: Sequence[Case], truth: Truths, mode: Mode) -> None:
    """Print precision, opposite sides and denied findings by kind of query."""
    print(f"\nmode {mode}, weight {searcher.weight}")
    print(f"{'kind':<15}{'queries':>8}{'P@10':>8}{'lowest':>8}{'opposite side':>15}{'denied shown':>14}")
    everything: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for case in cases:
        options = {name: getattr(case.query, name) for name in ("text", "image")}
        hits = searcher.search(Query(**options, mode=mode, k=TOP + 1)).hits
        own = case.query.image is not None or case.kind == "report"
        found = [truth[h.study.study_id] for h in hits][own : TOP + own]
        pool = sum(map(case.relevant, truth.values()))
        depth = min(TOP, pool)
        good = sum(map(case.relevant, found[:depth])) / max(1, depth)
        wrong = sum(
            not has(t, (d, (side,))) and has(t, (d, (OPPOSITE[side],)))
            for t in found
            for d, side in case.sides.items()
        )
        denied = sum(any(has(t, (d, ())) for d in case.denied) for t in found)
        everything[case.kind].append((good, wrong / TOP, denied / TOP))
    rows = list(everything.items())
    rows.append(("text", [r for kind, found in rows if "image" not in kind for r in found]))
    for kind, found in rows:
        table = np.array(found)
        print(
            f"{kind:<15}{len(found):>8}{table[:, 0].mean():>8.3f}{table[:, 0].min():>8.2f}"
            f"{table[:, 1].mean():>15.3f}{table[:, 2].mean():>14.3f}"
        )


def main() -> None:
    """Measure an index."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("studies", type=Path)
    parser.add_argument("--split", default="test", help="the split that the index was built of")
    parser.add_argument("--modes", default="embedding,findings,both")
    parser.add_argument("--pictures", type=int, default=3, help="queries by picture alone")
    parser.add_argument("--weights", default="", help="measure mode both at these weights")
    arguments = parser.parse_args()
    studies = [s for s in read_studies(arguments.studies) if s.split == arguments.split]
    searcher = Searcher.open(StudyIndex(arguments.index))
    drawn = read_annotations(arguments.studies.parent / "reference.parquet")
    truth = {a.study_id: [asdict(f) for f in a.findings] for a in drawn}
    truth = {s.study_id: truth[s.study_id] for s in studies}
    cases = [text_case(*row) for row in TEXTS] + study_cases(
        studies, arguments.studies.parent, truth, arguments.pictures
    )
    for mode in arguments.modes.split(",") if not arguments.weights else ():
        measure(searcher, cases, truth, mode)
    for weight in filter(None, arguments.weights.split(",")):
        searcher.weight = float(weight)
        measure(searcher, cases, truth, "both")


if __name__ == "__main__":
    main()
