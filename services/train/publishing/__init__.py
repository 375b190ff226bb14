"""The files of a published model."""
