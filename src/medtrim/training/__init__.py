"""The trainer: configuration, batches, checkpoints, resume."""
