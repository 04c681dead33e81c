"""`medtrim explain`: a report with what was read from it, coloured."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.color import ColorSystem
from rich.style import Style

from medtrim.cli.console import out, say

if TYPE_CHECKING:
    from medtrim.entities.explain import Explanation, Piece
    from medtrim.types import Finding

_DISEASE = {
    "present": "bold red underline",
    "uncertain": "bold yellow underline",
    "absent": "green strike",
}
_ROLE = {"adjective": "cyan", "direction": "magenta", "change": "blue", "cue": "italic reverse"}
_HEAD = tuple(
    (name, "bold")
    for name in ("#", "finding", "assertion", "adjectives", "directions", "change", "mm", "decided by")
)


def register(app: typer.Typer) -> None:
    """Add `medtrim explain`."""
    app.command("explain")(explain)


def explain(
    report: Annotated[
        Path | None, typer.Argument(help="A report (text file); - or none reads standard input.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write the page here.")] = None,
    ontology: Annotated[
        list[Path] | None, typer.Option(help="YAML laid over the default ontology; may be given several times.")
    ] = None,
) -> None:
    """Show a report with its findings, descriptors, negations and hedges coloured and linked by number."""
    from medtrim.entities import Recognizer, load_ontology, split_sections
    from medtrim.entities import explain as explaining
    from medtrim.errors import TableError
    from medtrim.types import Study
    from medtrim.types.outputs import check_output
    from medtrim.types.tables import atomic_path

    if report == Path("-"):
        report = None
    if html is not None:
        check_output(html, report, *(ontology or ()))
    title = "report" if report is None else report.name
    try:
        text = sys.stdin.read() if report is None else report.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise TableError(f"{title}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{title}: cannot be read as UTF-8 text ({type(error).__name__})") from error
    if not text.strip():
        raise TableError(f"{title}: the report is empty")
    loaded = load_ontology(*(ontology or ()))
    sections = split_sections(text)
    study = Study(title, "", findings=sections.findings, impression=sections.impression)
    explanation = explaining.explain(sections, Recognizer(loaded).annotate(study).findings, loaded)
    _print(explanation)
    if html is not None:
        with atomic_path(html) as part:
            part.write_text(explaining.to_html([(title, explanation)]), encoding="utf-8")
        say(f"page → {html}")


def _print(explanation: Explanation) -> None:
    """Write the marked report and its findings, piece by piece: a layout engine takes minutes for a megabyte."""
    styled = partial(_styled, colour=out.is_terminal)
    for section in explanation.sections:
        parts = [styled(section.name.upper(), "bold"), "\n"]
        for piece in section.pieces:
            parts.append(styled(piece.text, _style(piece)))
            parts += [styled(f"[{number}]", "dim") for number in piece.opens]
        out.file.write("".join([*parts, "\n\n"]))
    rows = [_row(number, finding) for number, finding in enumerate(explanation.findings, start=1)]
    widths = [max(len(text) for text, _ in column) for column in zip(_HEAD, *rows, strict=True)]
    for row in (_HEAD, *rows):
        cells = [styled(text, style) + " " * (w - len(text)) for (text, style), w in zip(row, widths, strict=True)]
        out.file.write("  ".join(cells).rstrip() + "\n")


def _row(number: int, finding: Finding) -> tuple[tuple[str, str], ...]:
    cue = "; ".join(m.text for m in finding.mentions if m.role == "cue")
    return (
        (str(number), ""),
        (finding.disease, _DISEASE[finding.assertion]),
        (finding.assertion, ""),
        (", ".join(finding.adjectives), _ROLE["adjective"]),
        (", ".join(finding.directions), _ROLE["direction"]),
        (finding.change or "", _ROLE["change"]),
        ("" if finding.size_mm is None else f"{finding.size_mm:g}", ""),
        (" ".join(cue.split()), ""),
    )


def _styled(text: str, style: str, *, colour: bool) -> str:
    """`text` with the terminal's codes for `style`, or as it is where the output takes no colour."""
    if not colour or not style or not text:
        return text
    return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)


def _style(piece: Piece) -> str:
    from medtrim.entities.explain import main_mark

    mark = main_mark(piece)
    if mark is None:
        return ""
    return _DISEASE[mark.assertion] if mark.role == "disease" else _ROLE[mark.role]
