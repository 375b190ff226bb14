"""The train service: `data_segmentation/` in, trained networks, the evaluation of a run and published models out.

`fitting` holds the training loop, `data` reads the films, `evaluation` judges a run and makes its report, `publishing`
makes the model's files; `distributed` trains in several processes, and `tasks` is the Celery worker around them.
"""
