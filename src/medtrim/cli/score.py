"""`medtrim score`: one similarity score, term by term."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from medtrim.cli.console import out, say

if TYPE_CHECKING:
    from medtrim.mining.explain import ScoreExplanation
    from medtrim.mining.score_config import ScoreConfig


def register(app: typer.Typer) -> None:
    """Add `medtrim score`."""
    app.command("score")(score)


def score(
    annotations: Annotated[Path, typer.Argument(help="Annotations table (Parquet).")],
    anchor: Annotated[str, typer.Argument(help="Study id of the anchor.")],
    reference: Annotated[str, typer.Argument(help="Study id of the reference.")],
    config: Annotated[Path | None, typer.Option(help="Mining recipe (YAML) whose `score` section to use.")] = None,
    mode: Annotated[str | None, typer.Option(help="faithful (the paper's code) or symmetric.")] = None,
) -> None:
    """Explain how alike two studies are: every term of the score, with the descriptors behind it."""
    from medtrim.errors import TableError
    from medtrim.mining.explain import explain_score
    from medtrim.mining.recipe import load_recipe
    from medtrim.types.tables import read_annotations

    settings = load_recipe(config, score={"mode": mode}).score
    studies = {a.study_id: a for a in read_annotations(annotations)}
    unknown = [study_id for study_id in (anchor, reference) if study_id not in studies]
    if unknown:
        raise TableError(f"{annotations}: no study {', '.join(map(repr, unknown))} among {len(studies)} studies")
    _show(explain_score(studies[anchor], studies[reference], settings), settings)


def _show(e: ScoreExplanation, settings: ScoreConfig) -> None:
    from rich.table import Table

    weights = settings.weights
    say(f"anchor    {e.anchor}: {', '.join(e.anchor_diseases)}")
    say(f"reference {e.reference}: {', '.join(e.reference_diseases)}")
    if e.shared:
        table = Table("shared disease", "kind", "anchor", "reference", "J")
        for s in e.shared:
            ours, theirs = s.anchor_adjectives, s.reference_adjectives
            table.add_row(Text(s.disease), "adjectives", _words(ours), _words(theirs), f"{s.adjective:.4f}")
            ours, theirs = s.anchor_directions, s.reference_directions
            table.add_row("", "directions", _words(ours), _words(theirs), f"{s.direction:.4f}")
        out.print(table)
    terms = Table("term", "weight", "value", "weight × value", "how")
    rows = (
        ("disease", weights.disease, e.disease, "J of the disease sets"),
        ("adjective", weights.adjective, e.adjective, f"sum over shared diseases / {e.divisor}"),
        ("direction", weights.direction, e.direction, f"sum over shared diseases / {e.divisor}"),
    )
    for name, weight, value, how in rows:
        terms.add_row(name, f"{weight:g}", f"{value:.4f}", f"{weight * value:.4f}", how)
    out.print(terms)
    out.print(f"S = {e.score:.6f}  ({settings.mode} mode)")


def _words(words: tuple[str, ...]) -> Text:
    return Text(", ".join(words) or "∅")
