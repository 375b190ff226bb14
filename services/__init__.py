"""The four services. None imports another: they meet in the queue and in the object store."""
