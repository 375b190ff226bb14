"""A network is one record with a builder: nothing else has to know its name."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from services.train.data.examples import Examples
from services.train.evaluation.figures import name as name_in_figures
from services.train.fitting.fit import FitContext, fit
from services.train.fitting.predict import predict
from services.train.fitting.serialise import network_from_bytes, network_to_bytes
from services.train.jobs import parse_job
from services.train.publishing.publish import model_files
from shared.errors import PlanError
from shared.modelling import networks
from shared.modelling.card import GOLDEN, HEAD, ONNX, WEIGHTS
from shared.modelling.network_table import NETWORK_TABLE, NETWORKS, Network, NetworkRecord, as_network
from shared.modelling.networks import MammogramNetwork, PlacesHead, build
from shared.modelling.recipes import TrainingRecipe
from shared.modelling.weights import load_into

TINY = "tiny"
CPU = torch.device("cpu")


def tiny(*_: str) -> MammogramNetwork:
    return MammogramNetwork(nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU()), PlacesHead(4))


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    record = NetworkRecord("Tiny", weights="Theirs", trunk={"stem.": "trunk.0."}, explainable=True)
    monkeypatch.setitem(NETWORK_TABLE, TINY, record)
    monkeypatch.setitem(networks.BUILDERS, TINY, tiny)


class TestNetworkTable:
    def test_every_network_has_a_builder_and_a_label_of_its_own(self) -> None:
        assert set(networks.BUILDERS) == set(NETWORKS)
        assert len({record.label for record in NETWORK_TABLE.values()}) == len(NETWORKS)

    @pytest.mark.parametrize("name", NETWORKS)
    def test_a_network_that_is_explainable_judges_places(self, name: Network) -> None:
        assert isinstance(build(name).head, PlacesHead) is NETWORK_TABLE[name].explainable

    @pytest.mark.usefixtures("_registered")
    def test_pretrained_weights_find_their_place_by_the_record(self) -> None:
        network = build(TINY)
        report = load_into(
            network, TINY, {"stem.weight": torch.ones(4, 3, 3, 3), "fc.weight": torch.ones(3, 4)}, "a file"
        )
        assert (report.loaded, report.unexpected) == (("trunk.0",), ("fc",))
        assert network.trunk[0].weight.eq(1).all()


class TestAsNetwork:
    @pytest.mark.usefixtures("_registered")
    def test_a_fourth_network_trains_and_is_published(self) -> None:
        assert as_network(TINY) == TINY
        assert parse_job(f"{TINY}/patient/fold-1").network == TINY
        assert name_in_figures(TINY) == "Tiny"
        rng = np.random.default_rng(0)
        films = Examples(rng.random((12, 1, 64, 64), np.float32), np.arange(12, dtype=np.int64) % 3)
        recipe = TrainingRecipe(input_size=64, epochs=2, batch_size=6)
        context = FitContext(pretrained=False, seed=1, device=CPU, on_epoch=lambda _: None)
        torch.manual_seed(0)
        fitted = fit(build(TINY), recipe, films, films, context)
        assert [record.epoch for record in fitted.epochs] == [1, 2]
        published = network_from_bytes(TINY, network_to_bytes(fitted.network))
        given = predict(fitted.network, films, 6, CPU)
        np.testing.assert_array_equal(predict(published, films, 6, CPU), given)
        files = model_files(TINY, network_to_bytes(fitted.network), input_size=64, seed=1)
        assert files.keys() == {WEIGHTS, ONNX, GOLDEN, HEAD}

    def test_a_network_of_no_record_is_refused(self) -> None:
        with pytest.raises(
            PlanError, match="there is no network 'tiny'; choose one of modified_cnn, alexnet, resnet50"
        ):
            as_network(TINY)
        with pytest.raises(ValidationError):
            TypeAdapter(Network).validate_python(TINY)
        with pytest.raises(PlanError, match="is not a training job"):
            parse_job(f"{TINY}/patient/fold-1")
        assert TypeAdapter(Network).json_schema() == {"type": "string", "enum": list(NETWORKS)}
