"""The object store, the single source of truth of the system.

`layout` defines the keys, `interface`, `directory` and `s3` read and write objects, `models` is the registry of
published models.
"""
