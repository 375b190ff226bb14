"""The inference worker: predicts the images of batches, part by part."""

from shared.queue.application import make_app
from shared.settings import settings

app = make_app(settings())
