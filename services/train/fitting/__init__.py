"""Fitting a network: the loop, what it starts from, its optimiser and checkpoints."""
