"""Where a model runs: checked before anything is loaded."""

from __future__ import annotations

from medtrim.errors import ConfigError

AUTO = "auto"
HELP = "cpu, cuda, cuda:1 …; auto: cuda where there is one, else cpu."


def choose_device(name: str) -> str:
    """The device that `name` means on this machine.

    Raises:
        ConfigError: PyTorch knows no such device, or this machine has none.
    """
    import torch

    if name == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device {name!r}: no such device; known are {HELP}") from error
    if device.type == "cuda":
        there = torch.cuda.device_count()
        if (device.index or 0) >= there:
            raise ConfigError(f"--device {name!r}: PyTorch sees {there or 'no'} CUDA device(s) on this machine")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError(f"--device {name!r}: not available on this machine")
    elif device.type != "cpu":
        raise ConfigError(f"--device {name!r}: models do not run there; known are {HELP}")
    return name
