"""Readers of data sets whose tables a mapping alone can't describe."""
