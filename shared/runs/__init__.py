"""Runs: their plan, the whole flow of their stages (`pipeline`), and how each unit is done (`tasks`, `shards`)."""
