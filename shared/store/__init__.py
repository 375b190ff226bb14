"""The object store, the one truth of the system: where things are (`keys`), how they are read and written
(`objects`, `s3`), and the models that were published (`registry`)."""
