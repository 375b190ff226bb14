"""Batches of predictions: their plan, and their whole flow from the request to the last part."""
