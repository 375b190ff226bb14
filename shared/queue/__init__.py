"""The queue: its messages (`messages`), its application (`celery_app`), and the common shell of workers (`worker`)."""
