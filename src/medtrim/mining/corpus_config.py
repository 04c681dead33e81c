"""Options of the corpus miner."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Strict
from pydantic.dataclasses import dataclass

from medtrim.errors import ConfigError
from medtrim.mining.score_config import SETTINGS, check_thresholds

STRATEGIES: tuple[str, ...] = ("semi-hard", "hardest", "stratified")


@dataclass(frozen=True, slots=True, config=SETTINGS)
class CorpusConfig:
    """Which anchors, and which of all studies become their positives and negatives.

    Args:
        positives: best-scoring studies taken as positives of an anchor.
        negatives: negatives taken of each kind; an anchor gives positives × negatives triplets.
        strategy: `semi-hard` (the published rule: lowest score with semi_hard ≤ S < ceiling, else the best below
            semi_hard), `hardest` (best score below the ceiling) or `stratified` (`negatives` random ones from each
            of S < semi_hard, semi_hard ≤ S < ceiling, and ceiling ≤ S < the positive's score).
        semi_hard, ceiling: the thresholds.
        slack: a negative may miss the rule's score by this much; all that do not are equals and one is drawn. At 0
            the rule is kept exactly, and in a large archive a rare annotation that happens to score lowest against
            a common one becomes the negative of thousands (`medtrim audit` shows it).
        min_positive: a positive must score more than this.
        attribute_hard: share of anchors whose negatives are attribute-hard instead: of the studies that share a
            disease and contradict the anchor in it (side, zone, severity …), those that score best.
        axes: contradictions that make a negative attribute-hard; empty means all that the ontology names.
        anchors: how many anchors to draw; 0 means every study once.
        balanced: draw each anchor's class (a disease, or none) first, then a study of that class, so that rare
            diseases are anchors as often as common ones.
        other_patients: take positives and negatives from other patients than the anchor's only.

    Raises:
        ConfigError: a value out of range, or thresholds out of order.
    """

    positives: int = 1
    negatives: int = 1
    strategy: str = "semi-hard"
    semi_hard: float = 0.25
    ceiling: float = 0.6
    slack: float = 0.0
    min_positive: float = 0.0
    attribute_hard: float = 0.0
    axes: Annotated[tuple[str, ...], Strict(False)] = ()
    anchors: int = 0
    balanced: bool = False
    other_patients: bool = False

    def __post_init__(self) -> None:
        check_thresholds(self.semi_hard, self.ceiling)
        if self.strategy not in STRATEGIES:
            raise ConfigError(f"unknown strategy {self.strategy!r}, allowed: {', '.join(STRATEGIES)}")
        if self.positives < 1 or self.negatives < 1 or self.anchors < 0:
            raise ConfigError(
                f"positives {self.positives}, negatives {self.negatives}, anchors {self.anchors}; "
                "needed: at least 1, 1 and 0"
            )
        if not 0 <= self.attribute_hard <= 1:
            raise ConfigError(f"attribute_hard is {self.attribute_hard}, allowed: a share from 0 to 1")
        if self.min_positive < 0 or self.slack < 0:
            raise ConfigError(f"min_positive {self.min_positive}, slack {self.slack}; allowed: 0 or more")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for provenance."""
        return {"miner": "corpus", **asdict(self), "axes": list(self.axes)}
