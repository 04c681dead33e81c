"""Suites of runs, the demo, tables, plots and the HTML report."""
