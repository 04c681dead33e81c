"""What an evaluation found: figures, per-query values, the embeddings they come from; to disk and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medtrim.errors import TableError
from medtrim.evaluation.embed import Embeddings, read_embeddings, write_embeddings
from medtrim.evaluation.figures import Figure
from medtrim.evaluation.fingerprint import Parts
from medtrim.evaluation.retrieval import QueryTable
from medtrim.types import Provenance
from medtrim.types.jsonfile import write_json
from medtrim.types.outputs import published_together
from medtrim.types.tables import read_table, write_table

METRICS, REPLICATES, QUERIES, EMBEDDINGS, SUMMARY = (
    "metrics.parquet",
    "replicates.parquet",
    "queries.parquet",
    "embeddings.parquet",
    "evaluation.json",
)
_SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("task", pa.string()),
        ("direction", pa.string()),
        ("queries", pa.string()),
        ("metric", pa.string()),
        ("label", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("own_in_gallery", pa.bool_()),
        ("patients", pa.int64()),
    ]
)
# What evaluations of an older version have, too.
_REQUIRED = pa.schema([field for field in _SCHEMA if field.name != "patients"])


@dataclass(frozen=True, repr=False)
class EvaluationResult:
    """Everything one method reached on one test set.

    Attributes:
        method: its name in tables.
        figures: every number with its interval.
        fingerprint: of the test set's studies, patients and truth and of the bootstrap; equal fingerprints can be
            compared pair by pair.
        task_fingerprints: task → what else its figures depend on and a comparison must have in common (prompts,
            training studies …) with a hash each.
        facts: counts, options, what was left out and why.
        queries: per-query values; empty where read back from disk.
        embeddings: of the test studies, None where they were not kept.
    """

    method: str
    figures: tuple[Figure, ...]
    fingerprint: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    queries: tuple[QueryTable, ...] = ()
    study_ids: tuple[str, ...] = ()
    embeddings: Embeddings | None = None
    task_fingerprints: Mapping[str, Parts] = field(default_factory=dict)

    def figure(
        self, metric: str, *, task: str = "retrieval", direction: str = "", queries: str = "", label: str = ""
    ) -> Figure:
        """The figure with this key; `queries` defaults to `all` in retrieval, as in every table.

        Raises:
            TableError: there is none; the message lists the choices.
        """
        wanted = {
            "task": task,
            "metric": metric,
            "direction": direction,
            "queries": queries or ("all" if task == "retrieval" else ""),
            "label": label,
        }
        found = list(self.figures)
        for name, given in wanted.items():
            there = list(dict.fromkeys(getattr(figure, name) for figure in found))
            if given not in there:
                asked = f"has no {name} {given!r}" if given else f"needs a {name}"
                of = f"the figure {metric!r}" if name not in ("task", "metric") else f"{self.method!r}"
                raise TableError(f"{of} {asked}; choices: {', '.join(map(repr, there)) or 'none'}")
            found = [figure for figure in found if getattr(figure, name) == given]
        return found[0]

    def __repr__(self) -> str:
        studies, patients = (self.facts.get(name, "?") for name in ("studies", "patients"))
        size = f"{studies} studies of {patients} patients"
        return f"<EvaluationResult {self.method!r}: {len(self.figures)} figures, {size}>"

    def to_table(self) -> pa.Table:
        """The metrics table."""
        rows = [
            {name: getattr(figure, name) for name in _SCHEMA.names if name != "method"} | {"method": self.method}
            for figure in self.figures
        ]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)


def write_evaluation(result: EvaluationResult, folder: Path | str) -> None:
    """Write metrics, replicates, per-query values, embeddings and the summary into `folder`, all of them or none.

    Raises:
        TableError: the system refuses; an older evaluation is still whole.
    """
    provenance = Provenance("metrics", config=dict(result.facts), extra={"fingerprint": result.fingerprint})
    table = result.to_table()
    keys = table.select(["task", "metric", "direction", "queries", "label"])
    replicates = pa.array([f.replicates.tolist() for f in result.figures], pa.list_(pa.float64()))
    with published_together(folder, (METRICS, REPLICATES, QUERIES, EMBEDDINGS, SUMMARY)) as part:
        write_table(table, part / METRICS, provenance)
        write_table(keys.append_column("replicates", replicates), part / REPLICATES, provenance)
        write_table(_query_table(result), part / QUERIES, provenance)
        if result.embeddings is not None:
            write_embeddings(result.embeddings, part / EMBEDDINGS, provenance)
        write_json(part / SUMMARY, summary(result))


def summary(result: EvaluationResult) -> dict[str, Any]:
    """The JSON summary."""
    return {
        "method": result.method,
        "fingerprint": result.fingerprint,
        "task_fingerprints": {task: dict(parts) for task, parts in result.task_fingerprints.items()},
        "facts": dict(result.facts),
        "figures": [plain_figure(figure) for figure in result.figures],
    }


def plain_figure(figure: Figure) -> dict[str, Any]:
    """A figure as plain data, without its replicates."""
    return {name: value for name, value in asdict(figure).items() if name != "replicates"}


def read_evaluation(folder: Path | str) -> EvaluationResult:
    """What `write_evaluation` wrote, without the per-query values (see `queries.parquet` for those).

    Raises:
        TableError: a file is missing or torn.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(f"{folder} holds no evaluation ({error})") from error
    table = read_table(folder / METRICS, _REQUIRED, table="metrics")
    rows = table.select([name for name in _SCHEMA.names if name in table.column_names]).to_pylist()
    replicates = read_table(
        folder / REPLICATES, pa.schema([("replicates", pa.list_(pa.float64()))]), table="replicates"
    )
    if len(rows) != len(replicates):
        raise TableError(f"{folder}: {METRICS} and {REPLICATES} do not belong together")
    figures = []
    for row, values in zip(rows, replicates["replicates"].to_pylist(), strict=True):
        del row["method"]
        figures.append(Figure(**row, replicates=np.array(values, np.float64)))
    embeddings = read_embeddings(folder / EMBEDDINGS) if (folder / EMBEDDINGS).exists() else None
    return EvaluationResult(
        method=facts["method"],
        figures=tuple(figures),
        fingerprint=facts["fingerprint"],
        facts=facts["facts"],
        task_fingerprints=facts.get("task_fingerprints", {}),
        embeddings=embeddings,
        study_ids=embeddings.study_ids if embeddings is not None else (),
    )


def _query_table(result: EvaluationResult) -> pa.Table:
    """One row a query and metric that it defines."""
    parts = []
    for table in result.queries:
        ids = np.array(result.study_ids, dtype=object)[table.queries]
        for values in table.values:
            defined = np.isfinite(values.denominator)
            parts.append(
                pa.table(
                    {
                        "study_id": pa.array(ids[defined], pa.string()),
                        "direction": pa.array([table.direction] * int(defined.sum()), pa.string()),
                        "queries": pa.array([table.group] * int(defined.sum()), pa.string()),
                        "metric": pa.array([values.metric] * int(defined.sum()), pa.string()),
                        "numerator": pa.array(values.numerator[defined], pa.float64()),
                        "denominator": pa.array(values.denominator[defined], pa.float64()),
                    }
                )
            )
    return pa.concat_tables(parts) if parts else pa.table({"study_id": pa.array([], pa.string())})
