"""The Open Inference Protocol v2, with binary tensors, and KServe V1, as their clients speak them."""

import json
import struct
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from services.inference.api import open_inference
from shared.errors import InputError
from shared.imaging.formats.decode import encode_png

HEADER = "Inference-Header-Content-Length"


def image_input(*images: bytes, **changes: Any) -> dict[str, Any]:
    data = [b64encode(image).decode() for image in images]
    parameters = {"content_type": "base64"}
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images)], "parameters": parameters, "data": data}
    return {**tensor, **changes}


def raw(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


GOOD = image_input(b"image")


class TestProtocols:
    def test_an_image_in_json_gets_probabilities_class_and_score(self, ready: FlaskClient, film: np.ndarray) -> None:
        data = encode_png(film)
        native = ready.post("/v1/predictions", data=data).json
        answer = ready.post("/v2/models/modified_cnn/infer", json={"id": "7", "inputs": [image_input(data, data)]})
        assert answer.status_code == 200
        body = answer.json
        assert (body["model_name"], body["model_version"], body["id"]) == ("modified_cnn", "v1", "7")
        outputs = {output["name"]: output for output in body["outputs"]}
        assert outputs["probabilities"]["shape"] == [2, 3]
        assert outputs["probabilities"]["data"][:3] == pytest.approx(list(native["probabilities"].values()), abs=1e-5)
        assert outputs["class"]["data"] == [native["class"]] * 2
        assert outputs["applies"]["data"] == ["unknown"] * 2
        assert outputs["score"]["data"][0] == pytest.approx(native["decision"]["score"], abs=1e-5)

    def test_binary_tensors_go_in_and_come_out(self, ready: FlaskClient, film: np.ndarray) -> None:
        elements = raw(encode_png(film))
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(elements)}}
        outputs = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "class"}]
        head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
        answer = ready.post("/v2/models/modified_cnn/infer", data=head + elements, headers={HEADER: str(len(head))})
        size = int(answer.headers[HEADER])
        body = json.loads(answer.data[:size])
        assert [output["name"] for output in body["outputs"]] == ["probabilities", "class"]
        values = np.frombuffer(answer.data[size:], "<f4")
        assert values.shape == (3,)
        assert values.sum() == pytest.approx(1, abs=1e-5)

    def test_server_and_model_describe_themselves(self, ready: FlaskClient) -> None:
        assert ready.get("/v2").json["extensions"] == ["binary_tensor_data"]
        assert ready.get("/v2/health/live").json == {"live": True}
        assert ready.get("/v2/health/ready").json == {"ready": True, "live": True}
        for path in ("/v2/models/modified_cnn", "/v2/models/modified_cnn/versions/v1"):
            described = ready.get(path).json
            assert (described["name"], described["versions"]) == ("modified_cnn", ["v1"])
            assert described["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
            assert ready.get(f"{path}/ready").json == {"name": "modified_cnn", "ready": True}

    @pytest.mark.parametrize(
        "path", ["/v2/models/resnet50", "/v2/models/modified_cnn/versions/v9", "/v1/models/resnet50"]
    )
    def test_what_is_not_served_is_told_in_the_form_that_foreign_clients_read(
        self, ready: FlaskClient, path: str
    ) -> None:
        answer = ready.get(path)
        assert answer.status_code == 404
        assert answer.mimetype == "application/json"
        assert "is not served; modified_cnn v1 is" in answer.json["error"]

    @pytest.mark.parametrize("path", ["/v2/health/ready", "/v2/models/modified_cnn/ready", "/v1/models/modified_cnn"])
    def test_without_a_model_nothing_is_ready(self, client: FlaskClient, path: str) -> None:
        assert client.get(path).status_code == 503
        assert client.get("/v2/health/live").status_code == 200

    @pytest.mark.parametrize(
        "document",
        [
            [],
            "text",
            {},
            {"inputs": []},
            {"inputs": [GOOD, GOOD]},
            {"inputs": ["image"]},
            {"inputs": [{**GOOD, "name": "picture"}]},
            {"inputs": [{**GOOD, "datatype": "FP32"}]},
            {"inputs": [{**GOOD, "shape": [2]}]},
            {"inputs": [{**GOOD, "shape": "1"}]},
            {"inputs": [{**GOOD, "data": "aW1hZ2U="}]},
            {"inputs": [{**GOOD, "data": [7]}]},
            {"inputs": [{**GOOD, "data": ["not base64!"]}]},
            {"inputs": [{**GOOD, "data": ["ä"]}]},
            {"inputs": [{**GOOD, "shape": [0], "data": []}]},
            {"inputs": [image_input(*[b"image"] * 9)]},
            {"inputs": [GOOD], "outputs": "class"},
            {"inputs": [GOOD], "outputs": [{"name": "logits"}]},
            {"inputs": [GOOD], "outputs": [{"name": ["class"]}]},
            {"inputs": [GOOD], "outputs": [7]},
        ],
        ids=str,
    )
    def test_malformed_requests_are_told_what_is_wrong(self, document: object) -> None:
        with pytest.raises(InputError):
            open_inference.parse(json.dumps(document).encode(), None)

    @pytest.mark.parametrize(
        ("tail", "claims", "header"),
        [
            (raw(b"image"), 3, None),
            (raw(b"image")[:-1], 8, None),
            (b"\xff\xff\xff\xffimage", 9, None),
            (b"\x01", 1, None),
            (raw(b"image"), 9, "99999"),
            (raw(b"image"), 9, "-1"),
            (raw(b"image"), 9, "many"),
            (raw(b"image"), "9", None),
            (raw(b"image"), {}, None),
        ],
    )
    def test_binary_requests_that_lie_about_their_size_are_refused(
        self, tail: bytes, claims: object, header: str | None
    ) -> None:
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": claims}}
        head = json.dumps({"inputs": [tensor]}).encode()
        with pytest.raises(InputError):
            open_inference.parse(head + tail, header or str(len(head)))

    def test_kserve_v1_predicts_and_explains(self, ready: FlaskClient, film: np.ndarray) -> None:
        data = encode_png(film)
        native = ready.post("/v1/predictions", data=data).json
        instances = {"instances": [{"image": {"b64": b64encode(data).decode()}}]}
        (prediction,) = ready.post("/v1/models/modified_cnn:predict", json=instances).json["predictions"]
        assert prediction["class"] == native["class"]
        assert prediction["applies"] is None
        assert prediction["probabilities"] == pytest.approx(native["probabilities"], abs=1e-5)
        (explanation,) = ready.post("/v1/models/modified_cnn:explain", json=instances).json["explanations"]
        heatmap = ready.post("/v1/predictions?explain=heatmap", data=encode_png(film)).json["heatmap"]
        assert explanation["explained"] == heatmap["class"]
        assert explanation["heatmap"]["b64"] == heatmap["png"]
        assert explanation["heatmap"]["b64"]
        assert ready.get("/v1/models/modified_cnn").json == {"name": "modified_cnn", "ready": True}

    @pytest.mark.parametrize(
        "document",
        [
            None,
            [],
            {},
            {"instances": []},
            {"instances": "x"},
            {"instances": [1]},
            {"instances": [{"image": {"b64": 1}}]},
            {"instances": [{"image": "aGk="}]},
            {"instances": [{"image": {"b64": "?"}}]},
        ],
        ids=str,
    )
    def test_malformed_instances_are_told_what_is_wrong(self, ready: FlaskClient, document: object) -> None:
        answer = ready.post("/v1/models/modified_cnn:predict", json=document)
        assert answer.status_code == 400
        assert answer.json["error"].startswith("invalid body")

    def test_an_image_that_is_none_keeps_its_status_in_every_protocol(self, ready: FlaskClient) -> None:
        answer = ready.post("/v2/models/modified_cnn/infer", json={"inputs": [image_input(b"GIF89a")]})
        assert (answer.status_code, answer.mimetype) == (415, "application/json")
        assert "send PGM" in answer.json["error"]
