"""Search an index from Python.

    python examples/search_from_python.py INDEX ["large left pleural effusion"]

`medtrim demo` makes an index, `medtrim index MODEL studies.parquet -o index` one of your own studies.
"""

from __future__ import annotations

import sys

import medtrim
from medtrim.search.searcher import SearchResult


def main(index: str, words: str = "large left pleural effusion") -> SearchResult:
    """Print what the query was understood as, and the hits with their findings."""
    searcher = medtrim.Searcher.open(index)
    result = searcher.search(medtrim.Query(words, k=5))
    asked = [q.disease for q in (*result.wanted.must, *result.wanted.like)]
    print(f"asked for: {', '.join(asked) or 'no finding, similarity alone ranks'}")
    for hit in result.hits:
        said = [f for f in hit.study.findings if f.assertion != "absent"]
        findings = "; ".join(" ".join([*f.directions, *f.adjectives, f.disease]) for f in said)
        print(f"{hit.score:.2f}  {hit.study.study_id}  {findings or 'no finding'}")
    return result


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:3])
