"""Judging a run: figures, operating points, baselines and the report."""
