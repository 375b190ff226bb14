"""What may be removed from a store: what no run, model, batch or data set refers to any more."""
