"""Images for the generator of requests: films where the document says that a file is wanted."""

from base64 import b64encode

import numpy as np
import schemathesis
from hypothesis import strategies as st

from services.inference.api.uploads import IMAGES
from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.imaging.formats.decode import encode_png

FILMS = st.sampled_from(
    [encode_png(render(np.random.default_rng(seed), "left", "G", Label.BENIGN).pixels[::4, ::4]) for seed in (1, 2)]
)
for media_type in IMAGES.types:
    schemathesis.openapi.media_type(media_type, FILMS)
schemathesis.openapi.format("binary", FILMS)
schemathesis.openapi.format("byte", FILMS.map(lambda film: b64encode(film).decode()))
