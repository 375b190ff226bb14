"""Pictures of an evaluation: what they are called, and that what they show changes them."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from services.train.evaluation import figures
from shared.modelling.evaluation import NetworkResult
from tests.support.evaluations import example_evaluation, example_result

ONE = (figures.confusion_matrix, figures.roc_curves, figures.calibration_curve, figures.training_curves)


@pytest.fixture(scope="module")
def honest() -> NetworkResult:
    return example_result("resnet50", "patient", folds=1, resamples=10)


@pytest.fixture(scope="module")
def leaky() -> NetworkResult:
    return example_result("resnet50", "paper", folds=1, resamples=10)


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def has(picture: np.ndarray, colour: str) -> bool:
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return bool((picture == wanted).all(axis=2).any())


class TestTitle:
    def test_it_names_network_protocol_and_films(self, honest: NetworkResult, leaky: NetworkResult) -> None:
        assert figures.title(honest, synthetic=False) == "ResNet-50, patient protocol"
        assert figures.title(leaky, synthetic=True) == "ResNet-50, paper protocol (leaky), synthetic films"

    def test_a_network_of_no_record_keeps_its_name(self) -> None:
        assert figures.name("tiny") == "tiny"


class TestPictures:
    @pytest.mark.parametrize("draw", ONE, ids=lambda draw: draw.__name__)
    def test_the_same_result_gives_the_same_bytes_and_synthetic_films_others(
        self, draw: Callable[..., bytes], honest: NetworkResult
    ) -> None:
        first = draw(honest, synthetic=False)
        assert draw(honest, synthetic=False) == first
        assert draw(honest, synthetic=True) != first
        assert pixels(first).shape[1] == pytest.approx(figures.WIDTH * 160, abs=1)

    def test_a_confusion_matrix_is_as_dark_as_the_share_of_the_class(self, honest: NetworkResult) -> None:
        sure = honest.metrics.model_copy(update={"confusion": ((207, 0, 0), (0, 64, 0), (0, 0, 51))})
        picture = pixels(figures.confusion_matrix(honest.model_copy(update={"metrics": sure}), synthetic=False))
        assert has(picture, figures.BLUE), "all of a class on the diagonal"

    def test_a_roc_curve_without_one_class_leaves_its_line_out(self, honest: NetworkResult) -> None:
        per_class = dict(honest.metrics.per_class)
        assert has(pixels(figures.roc_curves(honest, synthetic=False)), figures.RED)
        malignant = list(per_class)[-1]
        per_class[malignant] = per_class[malignant].model_copy(update={"roc": None})
        metrics = honest.metrics.model_copy(update={"per_class": per_class})
        picture = pixels(figures.roc_curves(honest.model_copy(update={"metrics": metrics}), synthetic=False))
        assert not has(picture, figures.RED)

    def test_calibration_without_bins_is_the_diagonal_alone(self, leaky: NetworkResult, honest: NetworkResult) -> None:
        assert has(pixels(figures.calibration_curve(honest, synthetic=False)), figures.BLUE)
        assert not has(pixels(figures.calibration_curve(leaky, synthetic=False)), figures.BLUE)


class TestComparison:
    def test_each_network_takes_a_row(self, honest: NetworkResult, leaky: NetworkResult) -> None:
        one, two = (pixels(figures.comparison(example_evaluation(each))) for each in ((honest,), (honest, leaky)))
        assert two.shape[0] - one.shape[0] == pytest.approx(0.62 * 160, abs=1)

    def test_leaky_ones_are_red(self, honest: NetworkResult, leaky: NetworkResult) -> None:
        assert not has(pixels(figures.comparison(example_evaluation((honest,)))), figures.RED)
        assert has(pixels(figures.comparison(example_evaluation((honest, leaky)))), figures.RED)
