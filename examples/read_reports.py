"""OBER on a table: a column of reports in, one row a finding out.

    python examples/read_reports.py [REPORTS.csv]

Without a file it reads the four reports below. Any table with a study id and a report column will do.
"""

from __future__ import annotations

import sys

import pyarrow as pa
import pyarrow.compute as pc

import medtrim

REPORTS = {
    "s1": "FINDINGS: Small left pleural effusion. No pneumothorax.",
    "s2": "Large right pleural effusion with adjacent atelectasis.",
    "s3": "The lungs are clear. Heart size is normal.",
    "s4": "Possible pneumonia in the left lower lobe.",
}


def read(path: str | None) -> pa.Table:
    """The annotations of the table at `path`, or of the reports above."""
    if path is not None:
        return medtrim.annotate(path, empty="drop")
    return medtrim.annotate(list(REPORTS.values()), study_ids=list(REPORTS))


def main(path: str | None = None) -> pa.Table:
    """Print the findings that are present or uncertain, and count them by disease."""
    findings = medtrim.findings_table(read(path))
    said = findings.filter(pc.not_equal(findings["assertion"], "absent"))
    for row in said.to_pylist():
        words = " ".join([*row["directions"], *row["adjectives"]])
        print(f"{row['study_id']:>4}  {row['disease']:<18} {row['assertion']:<10} {words}")
    for disease in pc.value_counts(said["disease"]).to_pylist():
        print(f"{disease['counts']:>4}  {disease['values']}")
    return findings


if __name__ == "__main__":
    main(*sys.argv[1:2])
