"""The built-in corpus: drawn frontal chest radiographs with reports that describe what was drawn."""
