"""A head that is fitted at once finds what places of frozen maps tell, and nothing else of the network changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from services.train.data.batches import class_weights
from services.train.data.examples import Examples
from services.train.data.lesion_targets import UNKNOWN
from services.train.fitting.fit import FitContext, FitResult
from services.train.fitting.head_regression import TooFewCircles, fit_head
from services.train.fitting.predict import predict
from services.train.fitting.scores import log_loss, macro_auc
from services.train.fitting.unfreezing import NetworkTail
from shared.modelling.evaluation import EpochRecord
from shared.modelling.networks import build, head_layers
from shared.modelling.profiles import PROFILES

CPU = torch.device("cpu")
RECIPE = PROFILES["lesions"].training["resnet50"]
EDGE, CHANNELS = 6, 1024
INSIDE = np.zeros((1, EDGE, EDGE), np.bool_)
INSIDE[:, :, :4] = True  # the breast takes up two thirds of what the network sees


def examples(films: int, seed: int) -> Examples:
    """Maps that are noise, but for one place of an abnormal film, where one channel of its class stands out; the breast
    has a texture of its own."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(0, 0.3, (films, CHANNELS, EDGE, EDGE)).astype(np.float16)
    maps[:, 7] += INSIDE
    labels, places = np.arange(films) % 3, np.zeros((films, EDGE, EDGE), np.int8)
    for film, label in enumerate(labels):
        if label:
            row, column = rng.integers(EDGE), rng.integers(4)
            maps[film, label, row, column] += 4
            places[film, row, column] = label
    return Examples(maps, labels, place_labels=places)


def fitted(train: Examples, validation: Examples, seed: int = 1) -> tuple[FitResult, list[EpochRecord]]:
    torch.manual_seed(0)
    learner, told = NetworkTail(build("resnet50", "layer3"), RECIPE.frozen), list[EpochRecord]()
    inside = INSIDE.repeat(len(train.labels), axis=0)
    found = fit_head(
        learner,
        RECIPE,
        train,
        validation,
        inside,
        FitContext(pretrained=True, seed=seed, device=CPU, on_epoch=told.append),
    )
    return found, told


class TestFitHead:
    def test_it_tells_films_apart_by_one_place_and_says_so_in_its_only_epoch(self) -> None:
        train, validation = examples(60, 1), examples(30, 2)
        found, told = fitted(train, validation)
        probabilities = predict(found.network, validation, 16, CPU)
        assert macro_auc(validation.labels, probabilities) == pytest.approx(1, abs=0.02)
        assert told == list(found.epochs)
        assert told[0].validation_auc == found.best_auc == macro_auc(validation.labels, probabilities)
        assert told[0].validation_loss == pytest.approx(log_loss(probabilities, validation.labels))
        on_train = predict(found.network, train, 16, CPU)
        assert told[0].train_loss == pytest.approx(log_loss(on_train, train.labels, class_weights(train.labels)))

    def test_places_beyond_the_breast_speak_for_no_lesion(self) -> None:
        found, _ = fitted(examples(60, 1), examples(30, 2))
        asked = examples(30, 3).inputs
        with torch.inference_mode():
            features = found.network.trunk(torch.from_numpy(asked).float())
            logits = found.network.head.places(features).numpy()  # type: ignore[operator]
        against_normal = (logits - logits[..., :1])[..., 1:].mean(axis=(0, 3))
        assert against_normal[~INSIDE[0]].mean() < against_normal[INSIDE[0]].mean() < 0

    def test_the_same_seed_gives_the_same_head_and_another_one_another(self) -> None:
        train, validation = examples(60, 1), examples(6, 2)
        weights = [head_layers(fitted(train, validation, seed)[0].network).weight for seed in (1, 1, 2)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])

    def test_of_the_network_nothing_changes_but_the_head_and_the_scales_of_its_channels(self) -> None:
        torch.manual_seed(0)
        network = build("resnet50", "layer3")
        before = {name: value.clone() for name, value in network.state_dict().items()}
        train = examples(30, 1)
        fit_head(
            NetworkTail(network, RECIPE.frozen), RECIPE, train, train,
            INSIDE.repeat(30, axis=0), FitContext(pretrained=True, seed=1, device=CPU, on_epoch=lambda _: None),
        )  # fmt: skip
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        scales = {"trunk.even.running_mean", "trunk.even.running_var"}
        assert changed == scales | {"head.linear.weight", "head.linear.bias"}

    def test_a_class_without_a_circle_is_told_with_what_to_do(self) -> None:
        train = examples(30, 1)
        train = replace(train, place_labels=np.where(train.place_labels == 2, UNKNOWN, train.place_labels))
        message = "no outlined lesion of the training films is malignant; choose another profile"
        with pytest.raises(TooFewCircles, match=message):
            fitted(train, train)
