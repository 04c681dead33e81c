"""Corpora in: readers of report and image collections, image decoding and caching, splits, the phantom corpus."""
