"""MedTrim: align chest X-rays with their reports by what the reports say, down to side, zone, size and severity.

The rooms, top to bottom: `types` and `errors`; `entities`, `mining`, `data`, `models`, `objectives`;
`training` and `evaluation`; `search`; `experiments`; `cli`. A room imports those above it only.
"""

from medtrim.types import medtrim_version

__version__ = medtrim_version()
