"""Names, direction and meaning of every metric (`metrics.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from medtrim.errors import ConfigError
from medtrim.types.yamlfile import load_yaml


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """How a metric is shown. `needs` names metrics without which it must not be shown."""

    key: str
    group: str
    label: str
    better: str
    unit: str
    meaning: str
    instance: bool = False
    headline: str = ""
    chance: float | None = None
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.better not in ("higher", "lower"):
            raise ConfigError(f"metric {self.key!r}: better must be 'higher' or 'lower', not {self.better!r}")

    @property
    def scale(self) -> float:
        """What a stored value is multiplied by for display."""
        return 100.0 if self.unit == "percent" else 1.0

    def show(self, value: float, *, signed: bool = False) -> str:
        """`value` as it stands in a table; a value that is not a number is an en dash."""
        if value != value:
            return "–"
        text = f"{value * self.scale:{'+' if signed else ''}.1f}"
        return text.replace("-", "−")

    def improves(self, difference: float) -> bool:
        """Whether a difference in this metric is a gain."""
        return difference > 0 if self.better == "higher" else difference < 0


@cache
def metric_infos() -> Mapping[str, MetricInfo]:
    """Every metric by key, in the order of tables."""
    data = _data()
    infos: dict[str, MetricInfo] = {}
    for key, fields in data["metrics"].items():
        needs = tuple(fields.pop("needs", ()))
        infos[key] = MetricInfo(key=key, needs=needs, **fields)
        if infos[key].group not in data["groups"]:
            raise ConfigError(f"metric {key!r}: unknown group {infos[key].group!r}")
    return infos


def metric_info(key: str) -> MetricInfo:
    """The description of one metric.

    Raises:
        ConfigError: the metric is not known; the message lists those that are.
    """
    try:
        return metric_infos()[key]
    except KeyError:
        raise ConfigError(f"unknown metric {key!r}; known: {', '.join(metric_infos())}") from None


def _data() -> dict[str, Any]:
    source = resources.files("medtrim.evaluation") / "metrics.yaml"
    data: dict[str, Any] = load_yaml(source.read_text(encoding="utf-8"), source="metrics.yaml")
    return data
