"""Draws what is no mammogram, by kind and seed: what a client may send by mistake, and what only looks like a film.

Each scene is uint8, H x W. The values of `shared/imaging/segmentation/gate.py` were chosen with seeds below 1000, and
are measured with others.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from shared.datasets.synthetic import draw
from shared.domain.arrays import Float32Array

Grey = npt.NDArray[np.uint8]
Rng = np.random.Generator


def scene(kind: str, seed: int) -> Grey:
    """One of `KINDS`."""
    rng = np.random.default_rng([seed, sorted(KINDS).index(kind)])
    return np.asarray(np.clip(KINDS[kind](rng), 0, 255), np.uint8)


def _size(rng: Rng) -> tuple[int, int]:
    return int(rng.integers(300, 1000)), int(rng.integers(300, 1000))


def _even(rng: Rng) -> Float32Array:
    """Blank, saturated or in between, with or without a little noise."""
    level = rng.choice([0, 255, int(rng.integers(256))])
    return np.float32(level) + _noise(rng, _size(rng), rng.choice([0.0, 2.0]))


def _half_blank(rng: Rng) -> Float32Array:
    """Part of a frame is one level, the rest another: a transfer that broke off."""
    height, width = _size(rng)
    image = np.full((height, width), rng.choice([0, 255]), np.float32)
    image[: int(height * rng.uniform(0.2, 0.8))] = rng.integers(256)
    image = image if rng.random() < 0.5 else image.T
    return image + _noise(rng, image.shape, rng.choice([0.0, 3.0]))


def _any_noise(rng: Rng) -> Float32Array:
    size = _size(rng)
    if rng.random() < 0.3:
        return (rng.random(size) < rng.uniform(0.02, 0.5)).astype(np.float32) * 255
    return np.float32(rng.uniform(0, 160)) + _noise(rng, size, rng.uniform(2, 90))


def _gradient(rng: Rng) -> Float32Array:
    """Linear or round, its centre anywhere, at a side edge too."""
    height, width = _size(rng)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if rng.random() < 0.5:
        along = x * np.cos(angle := rng.uniform(0, 6.3)) + y * np.sin(angle)
        return np.asarray((along - along.min()) / np.ptp(along) * 255)
    centre_x, centre_y = rng.choice([0.0, rng.random(), 1.0]) * width, rng.random() * height
    away = np.hypot(x - centre_x, y - centre_y) / (rng.uniform(0.3, 1) * max(height, width))
    return np.asarray(rng.uniform(120, 255) * (1 - away).clip(0, 1) ** rng.uniform(0.5, 2))


def _geometry(rng: Rng) -> Float32Array:
    """Circles, boxes and lines; sometimes one half disc at a side edge."""
    height, width = _size(rng)
    image = np.full((height, width), rng.choice([0, rng.integers(0, 60), 255]), np.float32)
    if rng.random() < 0.3:
        centre = (int(rng.choice([0, width - 1])), int(height * rng.uniform(0.35, 0.65)))
        cv2.ellipse(image, centre, (int(width * 0.6), int(height * 0.4)), 0, 0, 360, float(rng.integers(90, 255)), -1)
        return image
    for _ in range(int(rng.integers(1, 9))):
        x, y, size = int(rng.integers(width)), int(rng.integers(height)), int(rng.integers(30, max(height, width) // 2))
        level = float(rng.integers(40, 256))
        shape = rng.integers(3)
        if shape == 0:
            cv2.circle(image, (x, y), size // 2, level, -1)
        elif shape == 1:
            cv2.rectangle(image, (x, y), (x + size, y + int(rng.integers(20, size + 20))), level, -1)
        else:
            cv2.line(
                image, (x, y), (int(rng.integers(width)), int(rng.integers(height))), level, int(rng.integers(2, 30))
            )
    return image


def _pattern(rng: Rng) -> Float32Array:
    """Stripes or a checkerboard: test charts."""
    height, width = _size(rng)
    y, x = np.mgrid[0:height, 0:width] // int(rng.integers(4, 120))
    board = (x + y) % 2 if rng.random() < 0.5 else x % 2
    return board.astype(np.float32) * rng.uniform(60, 255)


def _text(rng: Rng) -> Float32Array:
    """A page or a card with lines of letters, dark on bright or bright on dark, sometimes framed."""
    height, width = _size(rng)
    paper, ink = (255.0, 20.0) if rng.random() < 0.5 else (float(rng.integers(0, 90)), float(rng.integers(180, 256)))
    image = np.full((height, width), paper, np.uint8)
    scale = rng.uniform(0.4, 2.2)
    left = int(rng.integers(5, 60))
    for row in range(int(40 * scale), height, int(36 * scale)):
        letters = "".join(rng.choice(list("ABCDEFGHKLMNOPRSTUVXabcdefghiklmnoprstu 0123456789 ")) for _ in range(60))
        letters = letters[: int(rng.integers(3, 60))]
        cv2.putText(
            image, letters, (left, row), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, max(1, int(2 * scale)), cv2.LINE_AA
        )
    if rng.random() < 0.4:
        cv2.rectangle(image, (4, 4), (width - 5, height - 5), ink, 3)
    return image.astype(np.float32)


def _texture(rng: Rng) -> Float32Array:
    """1/f noise, as natural images have it, at any brightness."""
    fractal = _fractal(rng, _size(rng), rng.uniform(0.7, 1.6))
    return np.asarray(rng.uniform(40, 190) + rng.uniform(25, 70) * fractal)


def _photograph(rng: Rng) -> Float32Array:
    """A bright sky above a rough ground, with things that have light and shadow."""
    height, width = _size(rng)
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    horizon = rng.uniform(0.2, 0.8)
    sky = rng.uniform(100, 250) - 60 * y
    ground = rng.uniform(30, 120) + 30 * _fractal(rng, (height, width), 1.1)
    image = np.where(y < horizon, sky + 4 * _fractal(rng, (height, width), 1.6), ground).astype(np.float32)
    for _ in range(int(rng.integers(1, 6))):
        _add_thing(rng, image)
    return image + _noise(rng, image.shape, 3)


def _still_life(rng: Rng) -> Float32Array:
    """Lit things before something dark, as in a product's photograph or a portrait; some are cut by the frame."""
    image = np.full(_size(rng), rng.uniform(0, 25), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        _add_thing(rng, image, least=0.15)
    return image + _noise(rng, image.shape, 2)


def _chest(rng: Rng) -> Float32Array:
    """Frontal chest film: bright body, two dark lungs with ribs, a bright heart and spine."""
    height, width = int(rng.integers(500, 900)), int(rng.integers(500, 900))
    image = np.full((height, width), rng.choice([0.0, 8.0]), np.float32)
    middle = width // 2 + int(rng.integers(-20, 20))
    cv2.ellipse(image, (middle, int(0.75 * height)), (int(0.48 * width), int(0.72 * height)), 0, 0, 360, 150.0, -1)
    image[int(0.7 * height) :] = np.maximum(image[int(0.7 * height) :], 150 * (image[int(0.7 * height)] > 20))
    for side in (-1, 1):
        centre = (middle + side * int(0.2 * width), int(0.48 * height))
        cv2.ellipse(image, centre, (int(0.14 * width), int(0.32 * height)), 4 * side, 0, 360, 45.0, -1)
        for rib in range(8):
            place = (centre[0], int((0.22 + 0.07 * rib) * height))
            cv2.ellipse(image, place, (int(0.16 * width), int(0.05 * height)), 12 * side, 180, 360, 85.0, 6)
    cv2.ellipse(
        image, (middle + 20, int(0.62 * height)), (int(0.12 * width), int(0.16 * height)), 30, 0, 360, 190.0, -1
    )
    cv2.rectangle(image, (middle - 22, 0), (middle + 22, height), 185.0, -1)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), 5), np.float32)
    return image + 6 * _fractal(rng, (height, width), 1.2) * (image > 15) + _noise(rng, image.shape, 2)


def _slice(rng: Rng) -> Float32Array:
    """A body's or a head's slice from CT or MRI: an oval with organs in the middle of black."""
    edge = int(rng.choice([256, 512, 640]))
    image = np.zeros((edge, edge), np.float32)
    axes = (int(rng.uniform(0.28, 0.45) * edge), int(rng.uniform(0.22, 0.4) * edge))
    centre, turn = (edge // 2, edge // 2), float(rng.choice([0, 90]))
    cv2.ellipse(image, centre, axes, turn, 0, 360, float(rng.uniform(70, 130)), -1)
    cv2.ellipse(image, centre, axes, turn, 0, 360, float(rng.uniform(120, 230)), int(rng.integers(2, 14)))
    for _ in range(int(rng.integers(2, 8))):
        place = tuple(int(edge / 2 + rng.uniform(-0.18, 0.18) * edge) for _ in range(2))
        size = tuple(int(rng.uniform(0.03, 0.14) * edge) for _ in range(2))
        cv2.ellipse(image, place, size, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(10, 200)), -1)
    inside = image > 0
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5)) + 5 * _fractal(rng, image.shape, 1.0) * inside


def _ultrasound(rng: Rng) -> Float32Array:
    """A fan of speckle on black, with its scale."""
    height, width = int(rng.integers(400, 700)), int(rng.integers(500, 900))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    across, down = x - width / 2, y + 0.15 * height
    distance, angle = np.hypot(across, down), np.arctan2(across, down)
    fan = (np.abs(angle) < rng.uniform(0.5, 0.75)) & (distance > 0.25 * height) & (distance < 1.05 * height)
    echo = (60 + 30 * _fractal(rng, (height, width), 1.3)) * rng.rayleigh(0.8, (height, width))
    image = np.where(fan, cv2.GaussianBlur(echo.astype(np.float32), (0, 0), 1.2), 0).astype(np.float32)
    for tick in range(20, height, 40):
        cv2.line(image, (width - 20, tick), (width - 10, tick), 200.0, 1)
    return image


def _hand(rng: Rng) -> Float32Array:
    """A hand on a dark film: a palm and five fingers with bones; it enters from the bottom or a side."""
    edge = int(rng.integers(500, 900))
    image = np.full((edge, edge), rng.uniform(0, 20), np.float32)
    palm, wrist = np.array([0.5, 0.62]) * edge, int(0.16 * edge)
    cv2.circle(image, palm.astype(int).tolist(), wrist, 90.0, -1)
    cv2.rectangle(image, (int(0.4 * edge), int(0.65 * edge)), (int(0.6 * edge), edge), 90.0, -1)
    for angle in np.radians(np.array([-65, -28, -8, 10, 30]) + rng.uniform(-4, 4, 5)):
        tip = palm + edge * rng.uniform(0.38, 0.5) * np.array([np.sin(angle), -np.cos(angle)])
        for level, thick in ((90.0, 0.07), (170.0, 0.03)):
            cv2.line(image, palm.astype(int).tolist(), tip.astype(int).tolist(), level, int(thick * edge))
    image = np.rot90(image, int(rng.integers(4)))
    return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), 3)) + _noise(rng, (edge, edge), 2)


def _negative(rng: Rng) -> Float32Array:
    """A mammogram whose polarity was lost."""
    return 255.0 - draw(int(rng.integers(1, 99)), int(rng.integers(1000))).pixels.astype(np.float32)


def _close_up(rng: Rng) -> Float32Array:
    """A cut-out of a mammogram that shows nothing but the breast's inside."""
    film = draw(int(rng.integers(1, 99)), int(rng.integers(1000)))
    inside = cv2.distanceTransform(film.breast, cv2.DIST_C, 3)
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    reach = int(inside.max() * rng.uniform(0.6, 0.95))
    return film.pixels[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach].astype(np.float32)


def _pair(rng: Rng) -> Float32Array:
    """Both breasts on one picture, back to back."""
    number, seed = 2 * int(rng.integers(1, 40)), int(rng.integers(1000))
    left = draw(number, seed)
    right = draw(number - 1, seed)
    starts = [int(np.flatnonzero(film.breast.any(axis=0))[place]) for film, place in ((left, 0), (right, -1))]
    return np.hstack([right.pixels[:, : starts[1] + 1], left.pixels[:, starts[0] :]]).astype(np.float32)


def _add_thing(rng: Rng, image: Float32Array, least: float = 0.05) -> None:
    """An oval or a box with light from one side and a texture of its own."""
    height, width = image.shape
    mask = np.zeros((height, width), np.uint8)
    centre = (int(rng.integers(width)), int(rng.integers(height)))
    size = [int(rng.uniform(least, 0.35) * edge) for edge in (width, height)]
    if rng.random() < 0.5:
        cv2.ellipse(mask, centre, (size[0], size[1]), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    else:
        corners = cv2.boxPoints((centre, (2 * size[0], 2 * size[1]), float(rng.uniform(0, 90))))
        cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    light = 1 - ((x - centre[0]) * rng.uniform(-1, 1) / width + (y - centre[1]) * rng.uniform(-1, 1) / height)
    paint = rng.uniform(60, 220) * light + rng.uniform(0, 15) * _fractal(rng, (height, width), rng.uniform(0.6, 1.4))
    np.copyto(image, paint.astype(np.float32), where=mask > 0)


def _fractal(rng: Rng, size: tuple[int, ...], slope: float) -> Float32Array:
    """Noise whose amplitude falls as frequency ** -slope; standard deviation 1."""
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((256, 256))) / frequency**slope
    field = np.fft.irfft2(spectrum)
    return np.asarray(cv2.resize((field / field.std()).astype(np.float32), (width, height)), np.float32)


def _noise(rng: Rng, size: tuple[int, ...], sigma: float) -> Float32Array:
    return rng.standard_normal(size, np.float32) * np.float32(sigma)


KINDS: dict[str, Callable[[Rng], Float32Array]] = {
    "chest film": _chest,
    "close-up": _close_up,
    "even": _even,
    "geometry": _geometry,
    "gradient": _gradient,
    "half blank": _half_blank,
    "hand": _hand,
    "negative": _negative,
    "noise": _any_noise,
    "pair": _pair,
    "pattern": _pattern,
    "photograph": _photograph,
    "slice": _slice,
    "still life": _still_life,
    "text": _text,
    "texture": _texture,
    "ultrasound": _ultrasound,
}
