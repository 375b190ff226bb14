"""Evaluations of published versions on other data sets, in units of the queue."""
