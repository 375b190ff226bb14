"""The segment service: `data_augmentation/` to `data_segmentation/`.

`core` finds the breast and orients it; `tasks` is the Celery worker around it.
"""
