"""`medtrim ontology`: check an ontology, and find what it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medtrim.cli.console import out, say

Overlays = Annotated[
    list[Path] | None,
    typer.Option("--ontology", help="YAML laid over the default ontology; may be given several times."),
]


def register(app: typer.Typer) -> None:
    """Add `medtrim ontology`."""
    group = typer.Typer(no_args_is_help=True, help="Check the ontology, and find what it does not know.")
    group.command("lint")(lint)
    group.command("coverage")(coverage)
    group.command("show")(show)
    app.add_typer(group, name="ontology")


def lint(ontology: Overlays = None) -> None:
    """List terms that cannot be reached, mean two things or stand twice; exit 1 if there are any."""
    from rich.markup import escape
    from rich.table import Table

    from medtrim.entities import load_ontology
    from medtrim.entities.lint import lint_ontology

    loaded = load_ontology(*(ontology or ()))
    issues = lint_ontology(loaded)
    shown = f"{loaded.name} {loaded.version} ({loaded.hash[:12]})"
    if not issues:
        say(f"{shown}: no problems")
        return
    table = Table("problem", "term", "where", title=escape(shown))
    for issue in issues:
        table.add_row(issue.problem, escape(issue.term), escape(issue.detail))
    out.print(table)
    raise typer.Exit(1)


def coverage(
    reports: Annotated[Path, typer.Argument(help="Reports, as for `medtrim annotate`.")],
    ontology: Overlays = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many phrases.")] = 40,
    least: Annotated[int, typer.Option(min=1, help="Leave out phrases seen less often.")] = 3,
) -> None:
    """Count what a corpus says near its findings that the ontology does not know."""
    from rich.markup import escape
    from rich.table import Table

    from medtrim.data import read_corpus
    from medtrim.entities import load_ontology, split_sections
    from medtrim.entities.coverage import measure_coverage

    studies = read_corpus(reports, split_sections=split_sections, patients="optional").studies
    found = measure_coverage(studies, load_ontology(*(ontology or ())), limit=limit, least=least)
    share = found.known / found.words if found.words else 1.0
    out.print(
        f"{found.reports:,} reports, {found.sentences:,} sentences: {share:.1%} of the {found.words:,} words near "
        "findings are known"
    )
    table = Table("unknown phrase", "times", "reports")
    for phrase in found.unknown:
        table.add_row(escape(phrase.phrase), f"{phrase.count:,}", f"{phrase.reports:,}")
    out.print(table)


def show(
    name: Annotated[str, typer.Argument(help="A finding or a descriptor, such as 'pleural effusion' or 'basal'.")],
    ontology: Overlays = None,
) -> None:
    """Show what the ontology holds of one finding or descriptor."""
    from medtrim.entities import load_ontology
    from medtrim.errors import OntologyError
    from medtrim.types.settings import close_names, did_you_mean

    loaded = load_ontology(*(ontology or ()))
    concept = loaded.concepts.get(name)
    descriptor = loaded.descriptors.get(name)
    if concept is not None:
        say(f"finding {name!r}: category {concept.category}, reported as {', '.join(concept.reports_as)}")
        say(f"  terms: {', '.join(concept.terms) or 'none'}")
        below = [other.name for other in loaded.concepts.values() if name in other.parents]
        say(f"  narrower: {', '.join(below) or 'none'}")
    elif descriptor is not None:
        say(f"{descriptor.role} {name!r}: {descriptor.kind}")
        say(f"  terms: {', '.join(descriptor.terms) or 'none'}")
        meant = [key for key, row in loaded.data["compounds"].items() if name in row["means"]]
        say(f"  part of: {', '.join(meant) or 'nothing'}")
    else:
        close = close_names(name, [*loaded.concepts, *loaded.descriptors], most=2)
        raise OntologyError(f"the ontology has no finding or descriptor {name!r}{did_you_mean(close)}")
