"""Experiment suites: methods × seeds at equal effort, run side by side, judged together."""
