"""MedTrim's loss in a plain PyTorch loop.

    python examples/loss_in_your_loop.py

The encoders here are two linear layers on made-up features; in their place stand yours (open_clip, MONAI,
Lightning …). All that MedTrim adds is `targets`, looked up by the study ids of the batch, and `loss`.
"""

from __future__ import annotations

import torch
from torch import nn

import medtrim

WORDS = (
    "Small left pleural effusion.",
    "Large right pleural effusion.",
    "Mild cardiomegaly.",
    "The lungs are clear.",
)


def corpus(size: int = 64) -> tuple[list[str], list[str], torch.Tensor, torch.Tensor]:
    """Study ids, reports, and features of images and texts that know which report it is."""
    kinds = torch.arange(size) % len(WORDS)
    one_hot = nn.functional.one_hot(kinds, len(WORDS)).float()
    image = one_hot + 0.3 * torch.randn(size, len(WORDS))
    text = one_hot + 0.1 * torch.randn(size, len(WORDS))
    return [f"s{i}" for i in range(size)], [WORDS[k] for k in kinds.tolist()], image, text


def main(steps: int = 60) -> list[float]:
    """Train and print the loss; returns it step by step."""
    torch.manual_seed(0)
    study_ids, reports, image, text = corpus()
    annotations = medtrim.annotate(reports, study_ids=study_ids)
    targets = medtrim.FindingTargets.from_annotations(annotations)
    image_encoder, text_encoder = nn.Linear(len(WORDS), 16), nn.Linear(len(WORDS), 16)
    loss = medtrim.MedTrimLoss()
    # The loss owns the learned temperature, so the optimizer gets its parameters too.
    parameters = [*image_encoder.parameters(), *text_encoder.parameters(), *loss.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    values = []
    for step in range(steps):
        rows = torch.randperm(len(study_ids))[:32].tolist()
        batch = targets[[study_ids[row] for row in rows]]
        value = loss(image_encoder(image[rows]), text_encoder(text[rows]), batch, progress=step / steps)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
        if step % 10 == 0:
            print(f"step {step:>3}  loss {value.item():.3f}")
    return values


if __name__ == "__main__":
    main()
