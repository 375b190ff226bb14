"""What the four services have in common; imports nothing of `services`."""

__version__ = "0.1.0"
