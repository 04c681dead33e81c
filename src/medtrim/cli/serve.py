"""`medtrim serve`: an index as a web page and a JSON API."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from medtrim.cli import devices
from medtrim.cli.console import quiet_loading, say, warn

TOKEN_VARIABLE = "MEDTRIM_TOKEN"


def register(app: typer.Typer) -> None:
    """Add `medtrim serve`."""
    app.command("serve")(serve)


def serve(
    index: Annotated[Path, typer.Argument(help="Folder of an index.")],
    host: Annotated[str, typer.Option(help="Address to listen on; any but this machine's own demands a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8017,
    token: Annotated[
        str | None,
        typer.Option(
            envvar=TOKEN_VARIABLE, help="What every request must carry (bearer, or the password of a login)."
        ),
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="TLS key (PEM).")] = None,
    max_upload: Annotated[int, typer.Option(min=1, help="Largest upload in MiB.")] = 64,
    queue: Annotated[int, typer.Option(min=1, help="Requests that may wait; further ones are answered 429.")] = 256,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that answer; each has the model and the archive in memory.")
    ] = 1,
    audit: Annotated[
        Path | None, typer.Option(help="Append to this file who was shown which studies, and when.")
    ] = None,
    user_header: Annotated[
        str, typer.Option(help="Header in which your proxy names the user, for the audit trail.")
    ] = "",
    viewer_url: Annotated[
        str,
        typer.Option(
            help="Address of a study in your own viewer, with {study_id} in it; {patient_id} may be as well."
        ),
    ] = "",
    ontology: Annotated[
        list[Path] | None, typer.Option(help="Ontology overlay that reads the words; the index's own by default.")
    ] = None,
    device: Annotated[str, typer.Option(help=devices.HELP)] = devices.AUTO,
) -> None:
    """Serve an index as a web page and a JSON API, for this machine unless told otherwise."""
    import torch

    from medtrim.search.guard import check_exposure, check_viewer, is_loopback

    check_exposure(host, token or None)
    if viewer_url:
        check_viewer(viewer_url)
    if not is_loopback(host) and certificate is None:
        warn("no --certificate: token, reports and images cross the network unencrypted")
    from medtrim.entities import load_ontology
    from medtrim.search.admission import Limits
    from medtrim.search.audit import AuditTrail
    from medtrim.search.query import MODES, Query
    from medtrim.search.searcher import Searcher
    from medtrim.search.server import create_app
    from medtrim.search.serving import bind, run_server, run_workers, worker_port
    from medtrim.search.store import StudyIndex, read_facts

    quiet_loading()
    shared = worker_port()
    several = workers > 1 and not shared
    bound = bind(host, shared or port, shared=workers > 1, listen=not several)
    shown = f"[{host}]" if ":" in host else host
    address = f"{'https' if certificate else 'http'}://{shown}:{bound.getsockname()[1]}"
    if several:
        studies = read_facts(index)["studies"]
        say(f"{studies} studies at {address}  ({workers} processes; Ctrl+C ends)")
        run_workers(
            workers,
            bound.getsockname()[1],
            [sys.executable, "-c", "from medtrim.cli import main; main()", *sys.argv[1:]],
        )
        return
    # Requests run beside each other: with several threads each, they would wait for one another's.
    torch.set_num_threads(1)
    trail = AuditTrail(audit, user_header=user_header) if audit is not None else None
    searcher = Searcher.open(
        StudyIndex(index),
        device=devices.choose_device(device),
        ontology=load_ontology(*ontology) if ontology else None,
    )
    for mode in MODES:
        searcher.search(Query("effusion", mode=mode, k=1))  # reads the archive into memory: nobody waits for it
    limits = Limits(max_body=max_upload * 2**20, max_buffered=8 * max_upload * 2**20, queued=queue)
    app = create_app(searcher, token=token or None, limits=limits, audit=trail, viewer_url=viewer_url)
    say(f"{len(searcher.index)} studies at {address}  (Ctrl+C ends)")
    run_server(app, bound, certificate=certificate, key=key)
