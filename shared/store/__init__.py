"""The object store, the one truth of the system: where things are (`layout`), how they are read and written
(`interface`, `directory`, `s3`), and the models that were published (`models`)."""
