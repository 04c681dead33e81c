"""Alignment objectives: a batch's embeddings in, named loss terms out. torch only."""
