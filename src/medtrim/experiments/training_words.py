"""What the methods of a comparison had in common in training, and how their dials were set, in words."""

from __future__ import annotations

from collections.abc import Iterable

from medtrim.experiments.results import Method, Results


def budget_words(results: Results) -> str:
    """What was equal. Batches are only where all methods deal them alike."""
    same = (
        "Equal budget: the same encoders from the same weights, the same augmentation, schedule and number of study"
        " encodings."
    )
    ways: dict[str, list[str]] = {}
    for method in results.methods:
        ways.setdefault(_dealing(method), []).append(method.label)
    if len(results.methods) < 2:
        return same
    if len(ways) == 1:
        return f"{same} The batches are the same too, in the same order."
    parts = [
        f"those of {_listing(labels)} {way}{', in the same order' if len(labels) > 1 else ''}"
        for way, labels in ways.items()
    ]
    return f"{same} The batches are not the same: {', '.join(parts)}."


def _dealing(method: Method) -> str:
    """How the batches of a method come about."""
    if method.sampler == "triplets":
        return "are filled with mined triplets"
    if method.normals < 1:
        share = f"{method.normals:.0%} of the normal studies"
        return f"deal {share} an epoch, drawn anew, and all others (`batch.normals`)"
    return "deal all studies out once an epoch"


def tuning_lines(results: Results) -> tuple[str, ...]:
    """A line a way in which learning rates were chosen, with the methods it holds for."""
    ways: dict[str, list[str]] = {}
    for method in results.methods:
        ways.setdefault(method.tuning, []).append(_with_rate(method))
    return tuple(f"{', '.join(methods)}: {way}" for way, methods in ways.items() if way)


def advantages(results: Results) -> Iterable[str]:
    """What was searched for one method alone, where others are compared with it."""
    if len(results.methods) > 1:
        yield from (f"{m.label}: {m.caution}" for m in results.methods if m.caution)


def _with_rate(method: Method) -> str:
    rate = method.facts.get("peak learning rates")
    return f"{method.label} ({rate})" if rate else method.label


def _listing(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
