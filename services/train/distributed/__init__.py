"""Training of one network in several processes."""
