"""The record of a run: what of it contradicts itself is refused, and what follows from it."""

import math

import pytest
from pydantic import ValidationError

from shared.modelling.evaluation import EpochRecord, Evaluation, FoldHistory
from tests.support.evaluations import example_evaluation, example_result, leveled

EPOCH = {"train_loss": 0.9, "validation_loss": 1.0, "validation_auc": None, "learning_rate": 1e-3}


def epoch(number: int, **changes: float) -> EpochRecord:
    return EpochRecord.model_validate({**EPOCH, "epoch": number, "images_per_second": 80.0, **changes})


def history(best: int, *epochs: int) -> FoldHistory:
    return FoldHistory(
        fold=0,
        epochs=tuple(map(epoch, epochs)),
        best_epoch=best,
        train_images=24,
        validation_films=6,
        test_films=6,
        seconds=1.0,
    )


class TestEpochRecord:
    @pytest.mark.parametrize("loss", [math.nan, math.inf])
    @pytest.mark.parametrize("name", ["train_loss", "validation_loss"])
    def test_a_loss_that_is_not_finite_is_refused(self, name: str, loss: float) -> None:
        with pytest.raises(ValidationError, match=name):
            epoch(1, **{name: loss})


class TestFoldHistory:
    def test_the_best_epoch_was_run(self) -> None:
        assert history(2, 1, 2, 3).best_epoch == 2
        with pytest.raises(ValidationError, match="fold 0: best_epoch 4 is not among its epochs"):
            history(4, 1, 2, 3)


class TestNetworkResult:
    def test_the_paper_protocol_leaks_and_the_other_does_not(self) -> None:
        assert example_result("resnet50", "paper", resamples=2).leaky
        assert not example_result("resnet50", "patient", resamples=2).leaky

    def test_levels_that_put_no_films_together_are_no_other_numbers(self) -> None:
        result = example_result("resnet50", "patient", resamples=2)
        assert [level.level for level in leveled(result, 300).combined] == ["breast", "exam"]
        assert [level.level for level in leveled(result, 322).combined] == ["exam"]

    def test_a_name_that_is_no_file_name_is_refused(self) -> None:
        result = example_result("resnet50", "patient", resamples=2)
        with pytest.raises(ValidationError, match="network"):
            type(result).model_validate({**dict(result), "network": "../resnet50"})


class TestEvaluation:
    def test_the_commonest_class_is_what_a_network_that_knows_nothing_answers(self) -> None:
        label, share = example_evaluation(()).commonest
        assert label == "normal"
        assert share == pytest.approx(207 / 322)

    def test_a_network_has_one_result_under_a_protocol(self) -> None:
        patient, paper = (example_result("resnet50", protocol, resamples=2) for protocol in ("patient", "paper"))
        assert len(example_evaluation((patient, paper)).results) == 2
        with pytest.raises(ValidationError, match="two results under the same protocol"):
            example_evaluation((patient, patient))

    def test_it_survives_json(self) -> None:
        whole = example_evaluation((example_result("alexnet", "patient", folds=1, resamples=2),))
        assert Evaluation.model_validate_json(whole.model_dump_json()) == whole
