"""Find similar studies: index, server and web page.

What needs LanceDB or FastAPI (the extra `search`) is imported from its module: `index`, `store`, `searcher`,
`server`. How findings agree is `medtrim.evaluation.agreement`.
"""

from medtrim.search.filters import Filters

__all__ = ["Filters"]
