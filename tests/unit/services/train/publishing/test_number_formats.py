"""Bfloat16 and 8-bit integers are offered only where the validation films are judged as in single precision."""

import json

import numpy as np
import pytest
import torch

from services.train.data.examples import Examples
from services.train.fitting.serialise import network_to_bytes
from services.train.publishing import number_formats
from services.train.publishing.number_formats import Judge
from services.train.publishing.publish import model_files
from services.train.publishing.quantise import quantised
from shared.modelling.bootstrap import Interval
from shared.modelling.calibration import MIN_FILMS, OperatingPoint
from shared.modelling.card import GOLDEN, ONNX
from shared.modelling.engines.interface import EngineUnavailable, Graph
from shared.modelling.engines.openvino import OpenVinoEngine
from shared.modelling.golden import check_golden, golden_inputs
from shared.modelling.networks import build

SIZE = 64
ANY = Interval(value=0.9, low=0.8, high=0.95)
HEAD_WEIGHTS = np.random.default_rng(1).normal(size=(3, 192)).astype(np.float32)


def films(count: int, seed: int = 0) -> np.ndarray:
    return np.concatenate([golden_inputs(SIZE, seed + number) for number in range((count + 1) // 2)])[:count]


def files_of(seed: int) -> dict[str, bytes]:
    torch.manual_seed(seed)
    network = build("modified_cnn")
    with torch.no_grad():
        network(torch.from_numpy(films(16, 100)))  # its batch norms see some films, as training would show them
    return model_files("modified_cnn", network_to_bytes(network), SIZE, seed)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return files_of(3)


@pytest.fixture(scope="module")
def int8(files: dict[str, bytes]) -> bytes:
    return quantised(files[ONNX], films(16, 50))


def points(threshold: float) -> tuple[OperatingPoint, ...]:
    return (
        OperatingPoint(
            name="screening", threshold=threshold, uncertain=(threshold, threshold), sensitivity=ANY, specificity=ANY
        ),
    )


def judge_of(
    files: dict[str, bytes], count: int = MIN_FILMS, classes: int = 3, threshold: float = 0.9, head: bool = True
) -> Judge:
    validation = Examples(films(count), np.arange(count) % classes)
    return Judge.of(files[ONNX], validation, HEAD_WEIGHTS if head else None, 1.0, points(threshold))


class TestJudge:
    def test_the_network_itself_is_offered_with_nothing_apart(self, files: dict[str, bytes]) -> None:
        report, _ = judge_of(files).int8(files[ONNX], files[GOLDEN])
        assert (report.decisions_equal, report.peaks_near, report.offered) == (1.0, 1.0, True)
        assert report.auc == report.auc_int8
        assert report.tolerance == number_formats.LEAST_TOLERANCE

    def test_another_network_is_not_offered(self, files: dict[str, bytes]) -> None:
        report, _ = judge_of(files, threshold=0.6).int8(files_of(4)[ONNX], files[GOLDEN])
        assert report.auc != report.auc_int8
        assert not report.offered

    @pytest.mark.parametrize(("count", "classes"), [(MIN_FILMS - 1, 3), (MIN_FILMS, 2)])
    def test_nothing_is_offered_on_the_word_of_a_few_films_or_of_two_classes(
        self, files: dict[str, bytes], count: int, classes: int
    ) -> None:
        report, _ = judge_of(files, count, classes).int8(files[ONNX], files[GOLDEN])
        assert not report.offered

    def test_maps_that_peak_elsewhere_keep_a_format_from_being_offered(self, files: dict[str, bytes]) -> None:
        judge = judge_of(files)
        turned = judge.reference._replace(features=np.ascontiguousarray(judge.reference.features[..., ::-1, ::-1]))
        seen = judge.compared(turned)
        assert seen.peaks_near is not None
        assert seen.peaks_near < number_formats.LEAST_EQUAL
        assert (seen.decisions_equal, seen.auc_apart) == (1.0, 0.0)

    def test_a_network_without_a_map_is_judged_without_one(self, files: dict[str, bytes]) -> None:
        report, _ = judge_of(files, head=False).int8(files[ONNX], files[GOLDEN])
        assert (report.peaks_near, report.offered) == (None, True)

    def test_bfloat16_is_judged_with_golden_answers_that_it_gives_again(self, files: dict[str, bytes]) -> None:
        report, answers = judge_of(files).bfloat16(files[ONNX], files[GOLDEN])
        if report is None:
            pytest.skip("this CPU can't compute in bfloat16")
        assert report.auc_bfloat16 == pytest.approx(report.auc, abs=0.05)
        engine = OpenVinoEngine(Graph.of(files[ONNX]), 1, "bfloat16")
        check_golden(answers, lambda inputs: engine.run(inputs).logits, 1e-6)
        assert json.loads(answers)["logits"] != json.loads(files[GOLDEN])["logits"]
        exact = OpenVinoEngine(Graph.of(files[ONNX]), 1, "float32")
        assert report.tolerance is not None
        check_golden(answers, lambda inputs: exact.run(inputs).logits, report.tolerance)  # a CPU that rounds otherwise

    def test_bfloat16_that_can_not_be_judged_is_not_offered(
        self, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise EngineUnavailable("OpenVINO can't compute in bfloat16 on this CPU")

        monkeypatch.setattr(number_formats, "OpenVinoEngine", refuse)
        assert judge_of(files).bfloat16(files[ONNX], files[GOLDEN]) == (None, b"")

    def test_a_format_is_judged_in_every_library_that_serves_it(
        self, files: dict[str, bytes], int8: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = files_of(4)[ONNX]
        monkeypatch.setattr(number_formats, "OpenVinoEngine", lambda *_: OpenVinoEngine(Graph.of(other), 1, "float32"))
        report, _ = judge_of(files, threshold=0.6).int8(int8, files[GOLDEN])
        assert not report.offered
