"""Experiments on small sets of real studies: cross-validation by patient, zone scores, expert codes."""
