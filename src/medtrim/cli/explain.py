"""`medtrim explain`: a report with what was read from it, coloured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from medtrim.cli.console import out, say

if TYPE_CHECKING:
    from medtrim.entities.explain import Explanation, Piece

_DISEASE = {
    "present": "bold red underline",
    "uncertain": "bold yellow underline",
    "absent": "green strike",
}
_ROLE = {"adjective": "cyan", "direction": "magenta", "cue": "italic reverse"}


def register(app: typer.Typer) -> None:
    """Add `medtrim explain`."""
    app.command("explain")(explain)


def explain(
    report: Annotated[Path | None, typer.Argument(help="A report (text file); standard input without one.")] = None,
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
    for section in explanation.sections:
        out.print(Text(section.name.upper(), style="bold"))
        text = Text()
        for piece in section.pieces:
            text.append(piece.text, style=_style(piece))
            for number in piece.opens:
                text.append(f"[{number}]", style="dim")
        out.print(text, soft_wrap=True)
        out.print()
    table = Table("#", "finding", "assertion", "adjectives", "directions", "decided by")
    for number, finding in enumerate(explanation.findings, start=1):
        cue = "; ".join(m.text for m in finding.mentions if m.role == "cue")
        table.add_row(
            str(number),
            Text(finding.disease, style=_DISEASE[finding.assertion]),
            finding.assertion,
            Text(", ".join(finding.adjectives), style=_ROLE["adjective"]),
            Text(", ".join(finding.directions), style=_ROLE["direction"]),
            Text(cue),
        )
    out.print(table)


def _style(piece: Piece) -> str:
    from medtrim.entities.explain import main_mark

    mark = main_mark(piece)
    if mark is None:
        return ""
    return _DISEASE[mark.assertion] if mark.role == "disease" else _ROLE[mark.role]
