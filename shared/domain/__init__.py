"""The records that every part speaks in: films, their lesions and classes. Pure: imports nothing of ours but errors."""
