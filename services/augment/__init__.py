"""The augment service: `raw/<dataset>/` in, `data_augmentation/<dataset>/<recipe>/` out, one shard of films a unit.

`core` makes variants of a film; `tasks` is the Celery worker around it.
"""
