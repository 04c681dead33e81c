"""Find similar studies: index, server and web page.

What needs LanceDB or FastAPI (the extra `search`) is imported from its module: `index`, `store`, `searcher`,
`server`. How findings agree needs neither, and is here.
"""

from medtrim.search.agreement import Agreement, DescriptorMark, FindingMark, compare, disease_states, unmarked
from medtrim.search.filters import Filters

__all__ = ["Agreement", "DescriptorMark", "Filters", "FindingMark", "compare", "disease_states", "unmarked"]
