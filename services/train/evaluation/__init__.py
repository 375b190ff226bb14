"""Evaluation of a run: metrics, operating points, baselines and the report."""
