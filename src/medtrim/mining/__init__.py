"""The meta-entity score and the miners that pick (anchor, positive, negative) studies by it. NumPy only."""
