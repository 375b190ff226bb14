"""The train service: `data_segmentation/` in, trained networks, the evaluation of a run and published models out.

`core` is the training loop, `data` reads the films, `evaluate` and `report` make the report, `publish` the model's
files; `tasks` is the Celery worker around them.
"""
