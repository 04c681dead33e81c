"""`medtrim index | search | serve`: find similar studies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medtrim.cli import devices
from medtrim.cli.console import out, progress_bar, report_rejects, say, warn
from medtrim.errors import ConfigError

if TYPE_CHECKING:
    from medtrim.evaluation.agreement import FindingMark
    from medtrim.search.searcher import SearchResult

TOKEN_VARIABLE = "MEDTRIM_TOKEN"
COLOURS = {"agrees": "green", "conflicts": "bold red", "extra": "dim", "neutral": "default"}


def _quiet() -> None:
    """Keep transformers' own bars off the terminal: they say how weights load, not what the user waits for."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]


def register(app: typer.Typer) -> None:
    """Add `medtrim index`, `medtrim search` and `medtrim serve`."""
    app.command("index")(index)
    app.command("search")(search)
    app.command("serve")(serve)


def index(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a trained model.")],
    studies: Annotated[Path, typer.Argument(help="Studies table, or anything `medtrim data import` reads.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the index.")],
    annotations: Annotated[
        Path | None, typer.Option(help="Annotations table; without it the reports are read now.")
    ] = None,
    image_root: Annotated[
        Path | None, typer.Option(help="Folder that relative image paths start from; the table's by default.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only studies of this split.")] = None,
    thumbnail: Annotated[
        int, typer.Option(min=0, help="Side of the stored pictures in pixels; 0 stores none.")
    ] = 256,
    copy_model: Annotated[bool, typer.Option(help="Copy the model into the index.")] = True,
    device: Annotated[str, typer.Option(help=devices.HELP)] = devices.AUTO,
    strict: Annotated[bool, typer.Option(help="Exit with an error if anything was rejected.")] = False,
) -> None:
    """Embed studies with a trained model and make them searchable."""
    from medtrim.data import read_corpus, select_split
    from medtrim.entities import annotate_corpus, split_sections
    from medtrim.search.index import build_index
    from medtrim.types import Provenance
    from medtrim.types.outputs import check_output_folder
    from medtrim.types.tables import read_annotations, rejects_to_table, write_table

    place = devices.choose_device(device)
    check_output_folder(output)
    _quiet()
    reading = read_corpus(studies, split_sections=split_sections, patients="optional")
    chosen = select_split(reading.studies, split) if split else list(reading.studies)
    if annotations is not None:
        found = read_annotations(annotations)
    else:
        with progress_bar("reading reports") as progress:
            found = list(annotate_corpus(chosen, progress=progress))
    root = image_root or (studies if studies.is_dir() else studies.parent)
    with progress_bar("embedding") as progress:
        build = build_index(
            checkpoint,
            chosen,
            found,
            output,
            root=root,
            thumbnail=thumbnail,
            copy_model=copy_model,
            device=place,
            progress=progress,
        )
    rejects = (*reading.rejects, *build.rejects)
    listed = output / "rejects.parquet"
    if rejects:
        write_table(rejects_to_table(rejects), listed, Provenance("rejects"))
    say(f"{build.studies} studies → {output}")
    report_rejects(len(rejects), str(listed), strict=strict)


def search(
    index: Annotated[Path, typer.Argument(help="Folder of an index.")],
    text: Annotated[
        str | None, typer.Option(help='Findings in words, such as "large left pleural effusion".')
    ] = None,
    image: Annotated[Path | None, typer.Option(help="An X-ray: PNG, JPEG, TIFF or DICOM.")] = None,
    study: Annotated[str | None, typer.Option(help="Id of a study of the index.")] = None,
    against: Annotated[str, typer.Option(help="Compare with the studies' image or text.")] = "image",
    using: Annotated[str, typer.Option(help="With --study: ask by its image or text.")] = "image",
    disease: Annotated[str, typer.Option(help="Only studies that report this disease.")] = "",
    side: Annotated[str, typer.Option(help="Only findings on this side: left or right.")] = "",
    k: Annotated[int, typer.Option("-k", min=1, help="How many studies to show.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, reports included.")] = False,
    device: Annotated[str, typer.Option(help=devices.HELP)] = devices.AUTO,
) -> None:
    """Find the studies most like a text, an image or a study; say what agrees and what conflicts."""
    if sum(query is not None for query in (text, image, study)) != 1:
        raise ConfigError("give exactly one of --text, --image and --study")
    for name, value in (("--against", against), ("--using", using)):
        if value not in ("image", "text"):
            raise ConfigError(f"{name} must be image or text, not {value!r}")
    from medtrim.data import load_image
    from medtrim.search import Filters
    from medtrim.search.searcher import Searcher
    from medtrim.search.store import StudyIndex
    from medtrim.search.wire import Answer

    _quiet()
    searcher = Searcher.open(StudyIndex(index), device=devices.choose_device(device))
    common: dict[str, Any] = {"against": against, "k": k, "filters": Filters(disease, side)}
    if text is not None:
        result = searcher.by_text(text, **common)
    elif image is not None:
        result = searcher.by_image(load_image(image, study_id=image.name), **common)
    else:
        result = searcher.by_study(study or "", using=using, **common)  # type: ignore[arg-type]
    if as_json:
        out.print(json.dumps(Answer.of(result).model_dump(), ensure_ascii=False), markup=False, soft_wrap=True)
    else:
        _show(result)


def serve(
    index: Annotated[Path, typer.Argument(help="Folder of an index.")],
    host: Annotated[str, typer.Option(help="Address to listen on; any but this machine's own demands a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8017,
    token: Annotated[
        str | None,
        typer.Option(
            envvar=TOKEN_VARIABLE, help="What every request must carry (bearer, or the password of a login)."
        ),
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="TLS key (PEM).")] = None,
    max_upload: Annotated[int, typer.Option(min=1, help="Largest upload in MiB.")] = 64,
    device: Annotated[str, typer.Option(help=devices.HELP)] = devices.AUTO,
) -> None:
    """Serve an index as a web page and a JSON API, for this machine unless told otherwise."""
    from medtrim.search.guard import check_exposure, is_loopback

    check_exposure(host, token or None)
    if not is_loopback(host) and certificate is None:
        warn("no --certificate: token, reports and images cross the network unencrypted")
    import uvicorn

    from medtrim.search.searcher import Searcher
    from medtrim.search.server import create_app
    from medtrim.search.store import StudyIndex

    _quiet()
    searcher = Searcher.open(StudyIndex(index), device=devices.choose_device(device))
    app = create_app(searcher, token=token or None, max_upload=max_upload * 2**20)
    shown = f"[{host}]" if ":" in host else host
    say(f"{len(searcher.index)} studies at {'https' if certificate else 'http'}://{shown}:{port}  (Ctrl+C ends)")
    uvicorn.run(
        app,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        limit_concurrency=64,
        timeout_keep_alive=10,
        ssl_certfile=os.fspath(certificate) if certificate else None,
        ssl_keyfile=os.fspath(key) if key else None,
    )


def _show(result: SearchResult) -> None:
    from rich.table import Table

    if result.findings:
        from medtrim.evaluation.agreement import unmarked

        say("query: " + ", ".join(mark.words for mark in unmarked(result.findings)))
    table = Table("rank", "study", "similarity", "findings", "missing", box=None, pad_edge=False)
    for rank, hit in enumerate(result.hits, start=1):
        marks = ", ".join(_coloured(mark) for mark in hit.agreement.marks)
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

    return escape(text)
