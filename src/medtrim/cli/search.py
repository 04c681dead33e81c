"""`medtrim search`: find similar studies."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli import devices
from medtrim.cli.console import out, printable, quiet_loading, say, warn
from medtrim.errors import ConfigError

if TYPE_CHECKING:
    from medtrim.evaluation.agreement import FindingMark
    from medtrim.search.searcher import SearchResult

COLOURS = {"agrees": "green", "conflicts": "bold red", "extra": "dim", "neutral": "default"}


def register(app: typer.Typer) -> None:
    """Add `medtrim search`."""
    app.command("search")(search)


def search(
    index: Annotated[Path, typer.Argument(help="Folder of an index.")],
    text: Annotated[
        str | None, typer.Option(help='Findings in words, such as "large left pleural effusion, no cardiomegaly".')
    ] = None,
    image: Annotated[Path | None, typer.Option(help="An X-ray: PNG, JPEG, TIFF or DICOM.")] = None,
    study: Annotated[str | None, typer.Option(help="Id of a study of the index.")] = None,
    image_weight: Annotated[
        float, typer.Option(help="Share of image or study where there are words too, 0 to 1.")
    ] = 0.5,
    against: Annotated[str, typer.Option(help="Compare with the studies' image or text.")] = "image",
    using: Annotated[str, typer.Option(help="With --study: ask by its image or text.")] = "image",
    mode: Annotated[str, typer.Option(help="Rank by embedding, by findings, or by both.")] = "both",
    disease: Annotated[str, typer.Option(help="Only studies that report this disease.")] = "",
    side: Annotated[str, typer.Option(help="Only findings on this side: left or right.")] = "",
    view: Annotated[list[str] | None, typer.Option(help="Only images of this view; repeat for several.")] = None,
    patient: Annotated[str, typer.Option(help="Only studies of this patient.")] = "",
    since: Annotated[
        str, typer.Option(help="Only studies from this date on (as in the index's date column).")
    ] = "",
    until: Annotated[str, typer.Option(help="Only studies up to this date.")] = "",
    where: Annotated[
        list[str] | None, typer.Option(help="Only studies with COLUMN=VALUE; repeat for several.")
    ] = None,
    one_per_patient: Annotated[bool, typer.Option(help="Show the best study of each patient only.")] = False,
    exact: Annotated[bool, typer.Option(help="Compare with every vector, whatever index there is.")] = False,
    ontology: Annotated[
        list[Path] | None, typer.Option(help="Ontology overlay that reads the words; the index's own by default.")
    ] = None,
    offset: Annotated[int, typer.Option(min=0, help="How many hits to pass over.")] = 0,
    k: Annotated[int, typer.Option("-k", min=1, help="How many studies to show.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, reports included.")] = False,
    device: Annotated[str, typer.Option(help=devices.HELP)] = devices.AUTO,
) -> None:
    """Find the studies most like a text, an image or a study; say what agrees and what conflicts."""
    if sum(query is not None for query in (image, study)) > 1 or (text is None and image is None and study is None):
        raise ConfigError("give --text, --image or --study; --text may stand beside either of the others")
    from medtrim.data import load_image
    from medtrim.search import Filters
    from medtrim.search.query import Query
    from medtrim.search.searcher import Searcher
    from medtrim.search.store import StudyIndex
    from medtrim.search.wire import Answer

    filters = Filters(
        disease,
        side,
        views=tuple(view or ()),
        patient_id=patient,
        since=since,
        until=until,
        columns=_columns(where or ()),
    )
    query = Query(
        text=text or "",
        image=None if image is None else load_image(image, study_id=image.name),
        study_id=study or "",
        image_weight=image_weight,
        filters=filters,
        one_per_patient=one_per_patient,
        exact=exact,
        offset=offset,
        k=k,
        against=against,  # type: ignore[arg-type]
        using=using,  # type: ignore[arg-type]
        mode=mode,  # type: ignore[arg-type]
    )
    query.check()
    quiet_loading()
    read_by = None
    if ontology:
        from medtrim.entities import load_ontology

        read_by = load_ontology(*ontology)
    searcher = Searcher.open(StudyIndex(index), device=devices.choose_device(device), ontology=read_by)
    result = searcher.search(query)
    if as_json:
        out.print(json.dumps(json.loads(Answer.of(result).json()), ensure_ascii=True), markup=False, soft_wrap=True)
    else:
        _show(result)


def _columns(pairs: Iterable[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--where takes COLUMN=VALUE, not {pair!r}")
        found[name] = value
    return found


def _show(result: SearchResult) -> None:
    from rich.table import Table

    if result.wanted:
        say(f"query ({result.mode}): " + ", ".join(asked.words for asked in result.wanted.all))
    for notice in result.notices:
        warn(notice.text)
    table = Table("rank", "study", "similarity", "findings", "missing", box=None, pad_edge=False)
    for rank, hit in enumerate(result.hits, start=1):
        marks = ", ".join(_coloured(mark) for mark in hit.agreement.marks) if hit.study.read else "[dim]not read[/]"
        table.add_row(
            str(rank), _safe(hit.study.study_id), f"{hit.similarity:.3f}", marks, ", ".join(hit.agreement.missing)
        )
    out.print(table if result.hits else "nothing found; loosen the filters")


def _coloured(mark: FindingMark) -> str:
    words = [f"[{COLOURS[d.relation]}]{d.text}[/]" for d in mark.descriptors]
    tail = f" ✗ {', '.join(mark.conflicts)}" if mark.conflicts else " ✓" if mark.relation == "agrees" else ""
    disease = f"[{COLOURS[mark.relation]}]{mark.disease}{tail}[/]"
    return " ".join([*(["possible"] if mark.uncertain else []), *words, disease])


def _safe(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text))
