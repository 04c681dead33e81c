"""`medtrim audit`: what a triplets table holds, as JSON and as a page to browse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli.console import progress_bar, say, warn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from medtrim.types import Reject, Study

THUMBNAIL = 224  # pixels


def register(app: typer.Typer) -> None:
    """Add `medtrim audit`."""
    app.command("audit")(audit)


def audit(
    triplets: Annotated[Path, typer.Argument(help="Triplets table (Parquet), as `medtrim mine` writes.")],
    annotations: Annotated[Path, typer.Option(help="The annotations table it was mined from.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to write; default: TRIPLETS.audit beside it.")
    ] = None,
    studies: Annotated[Path | None, typer.Option(help="Studies table: shows reports and images.")] = None,
    show: Annotated[int, typer.Option(help="Triplets on the page.", min=1)] = 300,
    images: Annotated[bool, typer.Option(help="Embed small images, where the studies name any.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of triplets to show.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if an image could not be read.")] = False,
) -> None:
    """Measure mined triplets and write audit.json and audit.html (one file, nothing loaded from anywhere)."""
    import json

    from medtrim.cli.console import report_rejects
    from medtrim.mining.audit import audit_triplets, read_audit_input
    from medtrim.mining.audit_page import PageOptions, choose_triplets, render_page
    from medtrim.mining.audit_reading import read_shown_annotations, read_shown_studies
    from medtrim.types import Provenance
    from medtrim.types.outputs import check_output, check_output_folder
    from medtrim.types.tables import atomic_path, rejects_to_table, write_table

    folder = output or triplets.with_name(f"{triplets.stem}.audit")
    check_output_folder(folder)
    for name in ("audit.json", "audit.html", "rejects.parquet"):
        check_output(folder / name, triplets, annotations, studies)
    data = read_audit_input(triplets, annotations)
    ids = data.corpus.encoded.study_ids
    known = read_shown_studies(studies, ids) if studies else None
    result = audit_triplets(data, reports=known.reports if known else None, seed=seed)
    options = PageOptions(triplets=show, seed=seed, title=f"Audit of {triplets.name}")
    rows = choose_triplets(data, result, options)
    shown = sorted({ids[i] for i in data.indices[rows].reshape(-1).tolist()})
    rejects: list[Reject] = []
    with progress_bar("writing the page") as progress:
        page = render_page(
            data,
            result,
            rows,
            annotations=read_shown_annotations(annotations, shown),
            studies=known.studies(shown) if known else None,
            thumbnail=_thumbnails(studies.parent, rejects, progress, len(shown)) if studies and images else None,
            options=options,
        )
    for name, text in (("audit.json", json.dumps(result.figures, indent=2) + "\n"), ("audit.html", page)):
        with atomic_path(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    _summary(result.figures, folder)
    if rejects:
        write_table(rejects_to_table(rejects), folder / "rejects.parquet", Provenance("rejects"))
    report_rejects(len(rejects), str(folder / "rejects.parquet"), strict=strict)


def _thumbnails(
    root: Path, rejects: list[Reject], progress: Callable[[int, int], None], total: int
) -> Callable[[Study], bytes | None]:
    """Small JPEGs of the studies' first images; one that cannot be read is noted in `rejects`."""
    import io

    from PIL import Image

    from medtrim.data import load_square
    from medtrim.errors import ImageError
    from medtrim.types import Reject

    done = 0

    def thumbnail(study: Study) -> bytes | None:
        nonlocal done
        done += 1
        progress(done, total)
        if not study.images:
            return None
        try:
            pixels = load_square(root / study.images[0], THUMBNAIL, study_id=study.study_id)
        except ImageError as error:
            rejects.append(Reject(study.study_id, "image", error.reason))
            return None
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=78)
        return stream.getvalue()

    return thumbnail


def _summary(figures: Mapping[str, Any], folder: Path) -> None:
    positive, negative = figures["agreement"]["positive"], figures["agreement"]["negative"]
    doubts = figures["doubtful_negatives"]
    say(f"{figures['triplets']:,} triplets over {figures['corpus']['studies']:,} studies → {folder}/audit.html")
    say(
        f"  positives: score {figures['positive_score']['mean']:.3f}, "
        f"same diseases {positive['same_diseases']:.1%}, same descriptors too {positive['same_descriptors']:.1%}"
    )
    conflicts = ", ".join(
        f"{name.removeprefix('conflict_')} {share:.1%}" for name, share in negative.items() if "conflict_" in name
    )
    say(
        f"  negatives: score {figures['negative_score']['mean']:.3f}, share a disease "
        f"{negative['shares_disease']:.1%}, normal {negative['normal']:.1%}; contradict in {conflicts}"
    )
    uses = figures["uses"]
    say(
        f"  used at most: {uses['positive']['most']} × as positive, {uses['negative']['most']} × as negative; "
        f"{uses['anchor']['share_of_corpus']:.1%} of the studies are anchors"
    )
    if doubts["without_any_finding"] > 0.05:
        warn(f"{doubts['without_any_finding']:.1%} of the negatives have no finding at all")
