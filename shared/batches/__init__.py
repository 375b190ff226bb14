"""Batches of predictions: their plan, and their flow from the request to the last part."""
