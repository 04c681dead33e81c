"""What is wrong with a suite, before its first run: unknown training keys, unequal effort."""

from __future__ import annotations

from collections.abc import Iterator

from medtrim.errors import ConfigError
from medtrim.experiments.plan import RunSpec, plan_final, plan_search, search_points
from medtrim.experiments.resolve import annotation_errors, study_encodings, training_config
from medtrim.experiments.schema import Suite
from medtrim.experiments.start import start_recipe
from medtrim.mining.recipe import read_recipe
from medtrim.objectives import OBJECTIVES
from medtrim.types.settings import nearest


def check_suite(suite: Suite) -> None:
    """Build every run's training and mining configuration once, and compare the methods' effort.

    Raises:
        ConfigError: everything that is wrong, each with the method it concerns.
    """
    problems: list[str] = []
    for method, section in suite.methods.items():
        if section.objective not in OBJECTIVES:
            hint = nearest(section.objective, OBJECTIVES)
            problems.append(f"methods.{method}: there is no objective {section.objective!r}{hint}")
    if problems:
        raise ConfigError("; ".join(problems))
    if suite.start is not None:
        start_recipe(suite)
    encodings: dict[str, float] = {}
    for method in suite.methods:
        try:
            search_points(suite, method)
        except ConfigError as error:
            problems.append(str(error))
    if not problems:
        for name, spec in _distinct(suite):
            try:
                config = training_config(spec.training)
                check_mining(spec)
                encodings[spec.method] = study_encodings(config)
            except ConfigError as error:
                problems.append(f"{name}: {error}")
    if not problems and len(set(encodings.values())) > 1:
        shown = ", ".join(f"{method} {count:,.0f}" for method, count in encodings.items())
        problems.append(f"the methods train on different numbers of study encodings: {shown}")
    if problems:
        raise ConfigError("; ".join(dict.fromkeys(problems)))


def check_mining(spec: RunSpec) -> None:
    """Raise a `ConfigError` about unknown keys of the mining recipe or of the annotation errors."""
    if spec.mining is not None:
        read_recipe(spec.mining)
    annotation_errors(spec.errors)


def _distinct(suite: Suite) -> Iterator[tuple[str, RunSpec]]:
    """One run a method and point, whatever its seed, with a name for messages."""
    seen = set()
    for run in (*plan_search(suite), *plan_final(suite, {})):
        at = ", ".join(f"{key}={value}" for key, value in run.point.items())
        name = f"methods.{run.spec.method}" + (f" at {at}" if at else "")
        if name not in seen:
            seen.add(name)
            yield name, run.spec
