"""What an answer says of where the breast lies, in the pixels of the film that was sent."""

import cv2
import numpy as np
import pytest

from services.inference.findings import film_answer, gate_of
from services.inference.serving.predictor import Prediction
from shared.errors import NotAMammogram, UndecodableImage
from shared.imaging.image import Image
from shared.imaging.segmentation.segment import segment
from tests.support.builders import model_card


class TestFilmAnswer:
    @pytest.mark.parametrize("mirrored", [False, True])
    @pytest.mark.parametrize("size", [1024, 700])
    def test_outline_and_box_are_those_of_the_parenchyma_on_the_film_as_it_was_sent(
        self, film: np.ndarray, size: int, mirrored: bool
    ) -> None:
        pixels = cv2.resize(film[:, ::-1] if mirrored else film, (size, size), interpolation=cv2.INTER_AREA)
        segmented = segment(np.asarray(pixels, np.uint8))
        seconds = dict.fromkeys(("decode", "segment", "network", "queue"), 0.1)
        found = Prediction(np.array([0.5, 0.3, 0.2]), Image(segmented.pixels, 8, "PGM"), segmented, None, seconds)
        answer = film_answer(model_card(), found, model_card().operating_points[0], 1.0)

        mask = segmented.mask[:, ::-1] if segmented.flipped else segmented.mask
        assert segmented.flipped is mirrored
        drawn = np.asarray(cv2.fillPoly(np.zeros_like(mask), [np.array(answer.outline, np.int32)], 255), np.uint8)
        apart = cv2.countNonZero(drawn ^ mask)
        assert apart < 0.01 * cv2.countNonZero(mask)
        around = cv2.dilate(
            cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), np.ones((3, 3), np.uint8)
        )
        assert not (drawn ^ mask)[around == 0].any(), "it is more than two pixels off"
        assert 6 < len(answer.outline) < 600
        box = answer.breast_box
        assert (box.x, box.y, box.width, box.height) == tuple(cv2.boundingRect(np.ascontiguousarray(mask)))


class TestGateOf:
    def test_the_gate_gives_its_reason_without_the_advice(self) -> None:
        refusal = NotAMammogram("grey; and flat", gate_score=0.25)
        assert str(refusal) == "grey; and flat; send one whole mammogram"
        gate = gate_of(refusal)
        assert gate is not None
        assert (gate.passed, gate.score, gate.reason) == (False, 0.25, "grey; and flat")
        assert gate_of(UndecodableImage("damaged")) is None
