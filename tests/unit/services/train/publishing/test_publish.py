"""The files of a published model: the class-activation map can be made of them without torch."""

from io import BytesIO

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load

from services.train.fitting.serialise import network_to_bytes
from services.train.publishing.publish import model_files
from shared.modelling.card import GOLDEN, HEAD, ONNX, WEIGHTS
from shared.modelling.golden import golden_inputs
from shared.modelling.network_table import Network
from shared.modelling.networks import build
from shared.modelling.recipes import LastStage

SIZE = 64


def files_of(network: Network, last_stage: LastStage = "layer4") -> dict[str, bytes]:
    torch.manual_seed(3)
    return model_files(network, network_to_bytes(build(network, last_stage)), SIZE, 3)


class TestModelFiles:
    @pytest.mark.parametrize(
        ("network", "last_stage"), [("modified_cnn", "layer4"), ("resnet50", "layer4"), ("resnet50", "layer3")]
    )
    def test_the_class_activation_map_with_the_bias_is_what_the_logits_are_made_of(
        self, network: Network, last_stage: LastStage
    ) -> None:
        files = files_of(network, last_stage)
        session = onnxruntime.InferenceSession(files[ONNX], providers=["CPUExecutionProvider"])
        logits, features = session.run(["logits", "features"], {"films": golden_inputs(SIZE, 5)})
        head = np.load(BytesIO(files[HEAD]), allow_pickle=False)
        assert head.dtype == np.float32
        assert head.shape == (3, features.shape[1])

        maps = np.einsum("kc,nchw->nkhw", head, features)
        (bias,) = (tensor for name, tensor in load(files[WEIGHTS]).items() if name == "head.linear.bias")
        places = maps + bias[:, None, None]
        places = places - places[:, :1]
        assert np.allclose(np.logaddexp.reduce(places, axis=(2, 3)) - np.log(places[0, 0].size), logits, atol=1e-4)

    def test_a_network_without_a_class_activation_map_gets_no_head(self) -> None:
        assert set(files_of("alexnet")) == {WEIGHTS, ONNX, GOLDEN}
