"""Evaluations of runs that never were, in the class mix of MIAS."""

from typing import Literal

import numpy as np

from shared.domain.records import CLASSES
from shared.modelling.bootstrap import Interval
from shared.modelling.evaluation import (
    Calibration,
    EpochRecord,
    Evaluation,
    FoldHistory,
    LevelResult,
    NetworkResult,
    PooledOperatingPoint,
    WeightsReport,
)
from shared.modelling.metrics import ModelMetrics, evaluate
from shared.modelling.predictions import FoldPredictions

OPERATING_POINTS = (
    PooledOperatingPoint(
        name="screening",
        sensitivity=Interval(value=0.913, low=0.851, high=0.962),
        specificity=Interval(value=0.246, low=0.188, high=0.301),
        true_positives=105,
        false_negatives=10,
        true_negatives=51,
        false_positives=156,
    ),
    PooledOperatingPoint(
        name="balanced",
        sensitivity=Interval(value=0.626, low=0.532, high=0.713),
        specificity=Interval(value=None, low=None, high=None),
        true_positives=72,
        false_negatives=43,
        true_negatives=0,
        false_positives=0,
    ),
)


def example_metrics(skill: float, films: int, resamples: int, seed: int) -> ModelMetrics:
    """Of a network that is right more often the higher its skill, on films in the class mix of MIAS."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, size=films, p=(0.64, 0.2, 0.16))
    rows = rng.dirichlet((3, 1.5, 1), size=films) + skill * np.eye(3)[truth]
    rows /= rows.sum(axis=1, keepdims=True)
    predictions = FoldPredictions(
        films=tuple(f"film{n}" for n in range(films)),
        patients=tuple(f"patient{n % 161}" for n in range(films)),
        labels=tuple(CLASSES[c] for c in truth),
        probabilities=tuple((row[0], row[1], row[2]) for row in rows.tolist()),
        folds=tuple(n % 5 for n in range(films)),
    )
    return evaluate(predictions, resamples=resamples)


def example_result(
    network: str, protocol: Literal["patient", "paper"], folds: int = 5, resamples: int = 50
) -> NetworkResult:
    skill = {"modified_cnn": 0.1, "alexnet": 0.2, "resnet50": 0.3}[network]
    leaky = protocol == "paper"
    histories = tuple(
        FoldHistory(
            fold=fold,
            epochs=tuple(
                EpochRecord(
                    epoch=epoch,
                    train_loss=1.1 * 0.9**epoch + 0.01 * fold,
                    validation_loss=1.1 * 0.93**epoch + (0 if leaky else 0.002 * epoch**2) + 0.03 * fold,
                    validation_auc=0.6,
                    learning_rate=1e-4,
                    images_per_second=41.0,
                )
                for epoch in range(1, 21)
            ),
            best_epoch=20 if leaky else 9 + fold,
            train_images=2048 + fold,
            validation_films=52,
            test_films=64,
            seconds=1234.0,
        )
        for fold in range(folds)
    )
    scratch = network == "modified_cnn"
    return NetworkResult(
        network=network,
        protocol=protocol,
        parameters={"modified_cnn": 1_214_000, "alexnet": 57_016_131, "resnet50": 23_514_179}[network],
        input_size=224,
        weights=WeightsReport(
            source="from scratch" if scratch else "torchvision IMAGENET1K_V2",
            loaded=() if scratch else tuple(f"layer{n // 3}.{n % 3}.conv1.weight" for n in range(60)),
            missing=("features.0.weight",) if scratch else ("fc.weight", "fc.bias"),
            unexpected=(),
        ),
        histories=histories,
        metrics=example_metrics(0.7 + skill if leaky else skill, 1288 if leaky else 322, resamples, seed=len(network)),
        operating_points=() if leaky else OPERATING_POINTS,
        calibration=None
        if leaky
        else Calibration(
            temperatures=(1.31, 1.0),
            brier_before=0.512,
            brier_after=0.487,
            ece_before=0.091,
            ece_after=0.052,
            bins=((0.45, 0.4, 100), (0.7, 0.66, 222)),
        ),
    )


def example_evaluation(results: tuple[NetworkResult, ...], synthetic: bool = False, run: str = "run-7") -> Evaluation:
    return Evaluation(
        run=run,
        dataset="mias",
        synthetic=synthetic,
        profile="full",
        seed=7,
        created="2025-01-02T03:04:05Z",
        films=322,
        patients=161,
        class_counts={"normal": 207, "benign": 64, "malignant": 51},
        augmentation="rotations",
        augmentation_variants=8,
        code_version="0.1.0",
        results=results,
    )


def leveled(result: NetworkResult, breasts: int) -> NetworkResult:
    """The same with figures by breast and by exam, of so many breasts and 161 exams."""
    levels = tuple(
        LevelResult(level=level, metrics=example_metrics(0.5, count, 20, 3), operating_points=OPERATING_POINTS)
        for level, count in (("breast", breasts), ("exam", 161))
    )
    return result.model_copy(update={"levels": levels})
