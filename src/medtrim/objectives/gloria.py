"""GLoRIA's global and local contrast."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medtrim.errors import ConfigError
from medtrim.objectives.base import Objective
from medtrim.objectives.checks import above, at_least
from medtrim.objectives.clip import info_nce
from medtrim.objectives.geometry import TINY, cosine
from medtrim.objectives.inputs import Need, ObjectiveInputs

# Similarities of words and regions that are worked on at once: they should stay in a core's cache.
AT_ONCE = 2**19


def attended_words(
    regions: Float[Tensor, "B M E"], words: Float[Tensor, "W E"], lengths: Sequence[int], *, temperature: float
) -> Float[Tensor, "B W"]:
    """cos(c_w, t_w): how well each image answers each word of some reports, `lengths` words each.

    c_w = Σ_m a_wm v_m is the part of the image that the word looks at, with a_w = softmax_m(b_mw / τ₂) and
    b_m = softmax_w⟨v_m, t_w⟩ over the words of one report: a region first says which words it is about, as in the
    public code. The cosine is Σ_m a_wm ⟨v_m, t_w⟩ / (|c_w| |t_w|) with |c_w|² = aᵀ(V Vᵀ)a: no c_w [B W E] is ever
    made.
    """
    scores = torch.matmul(regions, words.mT)
    about = torch.cat([report.softmax(dim=2) for report in torch.split(scores, list(lengths), dim=2)], dim=2)
    attention = about.div(temperature).softmax(dim=1)
    along = (attention * scores).sum(dim=1)
    squared = ((regions @ regions.mT @ attention) * attention).sum(dim=1) * words.square().sum(dim=1)
    there = squared > TINY**2
    length = torch.where(there, squared, torch.ones_like(squared)).sqrt()
    return torch.where(there, along / length, torch.zeros_like(along))


def report_match(
    regions: Float[Tensor, "B M E"],
    words: Float[Tensor, "C W E"],
    mask: Bool[Tensor, "C W"],
    *,
    attention_temperature: float,
    word_temperature: float,
) -> Float[Tensor, "B C"]:
    """Z(image, report) = log Σ_w exp(cos(c_w, t_w) / τ₃)

    over the report's words; 0 for a report without words. A few reports at a time, `AT_ONCE`.
    """
    counts = mask.sum(dim=1).tolist()
    columns: list[Tensor] = []
    some = max(1, AT_ONCE // max(1, regions.shape[0] * regions.shape[1] * max([1, *counts])))
    for start in range(0, len(words), some):
        part, lengths = slice(start, start + some), counts[start : start + some]
        matches = attended_words(regions, words[part][mask[part]], lengths, temperature=attention_temperature)
        for match in torch.split(matches, lengths, dim=1):
            none = regions.new_zeros(len(regions))
            columns.append(torch.logsumexp(match / word_temperature, dim=1) if match.shape[1] else none)
    return torch.stack(columns, dim=1)


class Gloria(Objective):
    """GLoRIA: InfoNCE of the studies and of words with the regions they attend to.

        L = w_g · [NCE(cos(i, t) / τ₁) + NCE(cos(t, i) / τ₁)] + w_l · [NCE(Z / τ₁) + NCE(Zᵀ / τ₁)]

    with NCE = `info_nce` and Z = `report_match`. Huang et al., ICCV 2021 (openaccess.thecvf.com, "GLoRIA: A
    Multimodal Global-Local Representation Learning Framework for Label-efficient Medical Image Recognition"),
    equations 2-8, as its public code works them out (gloria/loss/gloria_loss.py of marshuang80/gloria, commit
    9f0cfcf): attention is normalised over words before it is over regions, the log-sum over words is not multiplied
    by its temperature again, local features are taken as they are, temperatures are 1/4, 1/5 and 1/10.

    Args:
        temperature: τ₁.
        attention_temperature: τ₂, over regions.
        word_temperature: τ₃, over words.
        global_weight, local_weight: w_g and w_l, at least 0 and not both 0.

    Raises:
        ConfigError: an option is out of range.
    """

    needs: frozenset[Need] = frozenset({"local"})

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        attention_temperature: float = 0.25,
        word_temperature: float = 0.2,
        global_weight: float = 1.0,
        local_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.temperature = above("temperature", temperature, 0.0)
        self.attention_temperature = above("attention_temperature", attention_temperature, 0.0)
        self.word_temperature = above("word_temperature", word_temperature, 0.0)
        self.global_weight = at_least("global_weight", global_weight, 0.0)
        self.local_weight = at_least("local_weight", local_weight, 0.0)
        if not (global_weight or local_weight):
            raise ConfigError("global_weight and local_weight are both 0: no term is left")

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        if inputs.image_local is None or inputs.text_local is None or inputs.text_mask is None:
            raise ConfigError("Gloria needs image_local, text_local and text_mask")
        whole = cosine(inputs.image, inputs.text)
        parts = report_match(
            inputs.image_local,
            inputs.text_local,
            inputs.text_mask.bool(),
            attention_temperature=self.attention_temperature,
            word_temperature=self.word_temperature,
        )
        return {
            "global_image_text": self.global_weight * info_nce(whole / self.temperature),
            "global_text_image": self.global_weight * info_nce(whole.T / self.temperature),
            "local_image_text": self.local_weight * info_nce(parts / self.temperature),
            "local_text_image": self.local_weight * info_nce(parts.T / self.temperature),
        }
