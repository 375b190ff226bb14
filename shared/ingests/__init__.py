"""Ingestion by workers: its units go through the queue, and whoever enqueued them makes the data set of them."""
