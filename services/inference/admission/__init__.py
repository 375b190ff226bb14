"""Admission of requests: authentication, limits, body sizes, queueing."""
