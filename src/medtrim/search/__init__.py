"""Find similar studies: index, server and web page."""

from medtrim.search.agreement import Agreement, DescriptorMark, FindingMark, compare, disease_states, unmarked
from medtrim.search.encoder import QueryEncoder
from medtrim.search.filters import Filters
from medtrim.search.index import IndexBuild, build_index
from medtrim.search.searcher import Hit, Searcher, SearchResult
from medtrim.search.store import IndexedStudy, StudyIndex

__all__ = [
    "Agreement",
    "DescriptorMark",
    "Filters",
    "FindingMark",
    "Hit",
    "IndexBuild",
    "IndexedStudy",
    "QueryEncoder",
    "SearchResult",
    "Searcher",
    "StudyIndex",
    "build_index",
    "compare",
    "disease_states",
    "unmarked",
]
