"""Every place where a run writes, and the refusal to write over what is not the run's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medtrim.errors import ConfigError
from medtrim.experiments.config import Source, TableSource
from medtrim.experiments.layout import Layout
from medtrim.experiments.records import STATE, Records

LOGS = "logs"
CLOSING = "report"


def all_outputs(layout: Layout, methods: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """The outputs of every stage of a run, from its folder; those of `CLOSING` are replaced, never removed."""
    outputs = {
        "studies": (layout.corpus,),
        "annotate": (layout.annotations,),
        "mine": (layout.triplets,),
        "cache": (layout.cache,),
        **{f"train-{m}": (layout.run(m),) for m in methods},
        **{f"evaluate-{m}": (layout.evaluation(m),) for m in methods},
        CLOSING: (layout.report, layout.metrics, layout.results, layout.rejects, layout.folder / LOGS),
    }
    return {name: tuple(layout.relative(p) for p in paths) for name, paths in outputs.items()}


def check_source(source: Source, layout: Layout, methods: Sequence[str]) -> None:
    """See that no output would hold or replace the studies that are read.

    Raises:
        ConfigError: the table or the folder of its images is, or lies in, an output.
    """
    if not isinstance(source, TableSource):
        return
    places = [layout.folder / name for names in all_outputs(layout, methods).values() for name in names]
    for path in (source.path, source.image_root):
        for place in (*places, layout.folder / STATE):
            if path is not None and path.resolve().is_relative_to(place.resolve()):
                raise ConfigError(f"{path} lies in {place}, which this run would write: choose another folder")


def claim_closing(records: Records, layout: Layout) -> None:
    """Note, before they are written, that the files of `CLOSING` are ours.

    Raises:
        ConfigError: one is there that no record shows to be ours.
    """
    outputs = all_outputs(layout, ())[CLOSING]
    records.check(CLOSING, outputs)
    records.write(CLOSING, {"key": "", "finished": False, "outputs": list(outputs)})
