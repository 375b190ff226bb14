"""Runs: their plan, the flow of their stages (`pipeline`), and their units (`tasks`, `shards`)."""
