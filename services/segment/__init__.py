"""The segment service: `data_augmentation/<dataset>/<recipe>/` in, `data_segmentation/<dataset>/<recipe>/` out.

`core` finds the breast and turns it one way; `tasks` is the Celery worker around it.
"""
