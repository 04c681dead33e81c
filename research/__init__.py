"""Experiments on small collections of real studies. Not part of the package: importable from a checkout."""
