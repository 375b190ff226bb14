"""Pictures of an evaluation: what they are called, and that what they show changes them."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from services.train.evaluation import figures
from shared.modelling.evaluation import NetworkResult
from tests.support.evaluations import example_evaluation, example_result

DRAWN: tuple[tuple[Callable[..., bytes], Callable[[NetworkResult], object]], ...] = (
    (figures.confusion_matrix, lambda result: result.metrics),
    (figures.roc_curves, lambda result: result.metrics),
    (figures.calibration_curve, lambda result: result.calibration and result.calibration.bins),
    (figures.training_curves, lambda result: result.histories),
)


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
    @pytest.mark.parametrize(("draw", "part"), DRAWN)
    def test_the_same_result_gives_the_same_bytes_and_another_subtitle_others(
        self, draw: Callable[..., bytes], part: Callable[[NetworkResult], object], honest: NetworkResult
    ) -> None:
        first = draw(part(honest), "real films")
        assert draw(part(honest), "real films") == first
        assert draw(part(honest), "synthetic films") != first
        assert pixels(first).shape[1] == pytest.approx(figures.WIDTH * 160, abs=1)

    def test_a_confusion_matrix_is_as_dark_as_the_share_of_the_class(self, honest: NetworkResult) -> None:
        sure = honest.metrics.model_copy(update={"confusion": ((207, 0, 0), (0, 64, 0), (0, 0, 51))})
        picture = pixels(figures.confusion_matrix(sure, ""))
        assert has(picture, figures.BLUE), "all of a class on the diagonal"

    def test_a_roc_curve_without_one_class_leaves_its_line_out(self, honest: NetworkResult) -> None:
        per_class = dict(honest.metrics.per_class)
        assert has(pixels(figures.roc_curves(honest.metrics, "")), figures.RED)
        malignant = list(per_class)[-1]
        per_class[malignant] = per_class[malignant].model_copy(update={"roc": None})
        metrics = honest.metrics.model_copy(update={"per_class": per_class})
        picture = pixels(figures.roc_curves(metrics, ""))
        assert not has(picture, figures.RED)

    def test_calibration_without_bins_is_the_diagonal_alone(self, honest: NetworkResult) -> None:
        assert honest.calibration
        assert has(pixels(figures.calibration_curve(honest.calibration.bins, "")), figures.BLUE)
        assert not has(pixels(figures.calibration_curve((), "")), figures.BLUE)


class TestComparison:
    def test_each_network_takes_a_row(self, honest: NetworkResult, leaky: NetworkResult) -> None:
        one, two = (pixels(figures.comparison(example_evaluation(each))) for each in ((honest,), (honest, leaky)))
        assert two.shape[0] - one.shape[0] == pytest.approx(0.62 * 160, abs=1)

    def test_leaky_ones_are_red(self, honest: NetworkResult, leaky: NetworkResult) -> None:
        assert not has(pixels(figures.comparison(example_evaluation((honest,)))), figures.RED)
        assert has(pixels(figures.comparison(example_evaluation((honest, leaky)))), figures.RED)
