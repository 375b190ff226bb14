"""The augment service: `raw/<dataset>/` in, `data_augmentation/<dataset>/` out.

One unit is a shard of films. `core` makes variants of a film; `tasks` is the Celery worker around it.
"""
