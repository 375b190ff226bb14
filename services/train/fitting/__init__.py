"""Fitting of a network: the training loop, initial weights, optimiser and checkpoints."""
