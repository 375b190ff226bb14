"""What requests bring over HTTP: bounds, codings, forms, and which of several films is refused."""

import gzip
import zlib
from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from services.inference.admission.byte_budget import ByteBudget
from shared.imaging.formats.decode import encode_png

MULTIPART = {"content_type": "multipart/form-data"}


@pytest.fixture(scope="module")
def sent(film: np.ndarray) -> bytes:
    return encode_png(film)


def chunked(client: FlaskClient, data: bytes, **headers: str) -> Any:
    """Sends a body without a length, as gunicorn hands a chunked one on."""
    environ = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": BytesIO(data)}
    return client.post("/v1/predictions", environ_overrides=environ, headers=headers)


class TestUploads:
    def test_a_chunked_body_within_the_bound_is_answered_and_one_beyond_it_is_too_large(
        self, ready: FlaskClient, sent: bytes
    ) -> None:
        assert chunked(ready, sent).status_code == 200
        refused = chunked(ready, sent + bytes(2 << 20))
        assert (refused.status_code, refused.json["title"]) == (413, "request-entity-too-large")
        assert "2 MB (MAMMO_MAX_IMAGE_MB)" in refused.json["detail"]

    @pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
    def test_a_compressed_body_is_answered_like_the_film_in_it(
        self, ready: FlaskClient, sent: bytes, coding: str, pack: Callable[[bytes], bytes]
    ) -> None:
        plain = ready.post("/v1/predictions", data=sent).json
        packed = ready.post("/v1/predictions", data=pack(sent), headers={"Content-Encoding": coding})
        assert packed.status_code == 200
        assert packed.json["probabilities"] == plain["probabilities"]

    def test_a_body_that_decompresses_beyond_the_bound_is_too_large(self, ready: FlaskClient) -> None:
        packed = gzip.compress(bytes(3 << 20))
        refused = ready.post("/v1/predictions", data=packed, headers={"Content-Encoding": "gzip"})
        assert refused.status_code == 413
        assert "2 MB (MAMMO_MAX_IMAGE_MB)" in refused.json["detail"]

    def test_another_content_coding_is_named_and_the_known_ones_are_told(self, ready: FlaskClient, sent: bytes) -> None:
        refused = ready.post("/v1/predictions", data=sent, headers={"Content-Encoding": "br"})
        assert (refused.status_code, refused.headers["Accept-Encoding"]) == (415, "gzip, deflate")
        assert "'br'" in refused.json["detail"]

    def test_a_compressed_json_body_is_read_too(self, ready: FlaskClient, sent: bytes) -> None:
        body = b'{"instances": [{"image": {"b64": "%b"}}]}' % b64encode(sent)
        headers = {"Content-Encoding": "gzip"}
        answer = ready.post("/v1/models/modified_cnn:predict", data=gzip.compress(body), headers=headers)
        assert answer.status_code == 200, answer.text

    def test_a_film_in_a_field_without_a_file_name_is_told_so(self, ready: FlaskClient) -> None:
        refused = ready.post("/v1/predictions", data={"image": "x" * 600_000}, **MULTIPART)
        assert refused.status_code == 413
        assert "the field 'image' has no file name" in refused.json["detail"]
        assert "MAMMO" not in refused.json["detail"]

    def test_an_input_in_which_no_file_was_chosen_is_no_film(self, ready: FlaskClient, sent: bytes) -> None:
        head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="%b"\r\n\r\n%b\r\n'
        body = head % (b"", b"") + head % (b"film.png", sent) + b"--b--\r\n"
        answer = ready.post("/v1/predictions", data=body, content_type="multipart/form-data; boundary=b")
        assert answer.status_code == 200
        assert set(answer.json["probabilities"]) == {"normal", "benign", "malignant"}

    @pytest.mark.parametrize("disposition", [b'name="note"', b'name="image"; filename=""'])
    def test_a_form_without_any_film_is_told_so(self, ready: FlaskClient, disposition: bytes) -> None:
        body = b"--b\r\nContent-Disposition: form-data; %b\r\n\r\n\r\n--b--\r\n" % disposition
        refused = ready.post("/v1/predictions", data=body, content_type="multipart/form-data; boundary=b")
        assert (refused.status_code, "contains no file" in refused.json["detail"]) == (400, True)

    @pytest.mark.parametrize(
        "path",
        ["/v1/models/modified_cnn:predict", "/v2/models/modified_cnn/infer"],
        ids=["kserve v1", "open inference"],
    )
    def test_of_several_images_the_refused_one_is_named(self, ready: FlaskClient, sent: bytes, path: str) -> None:
        good, bad = b64encode(sent).decode(), b64encode(b"no film").decode()
        body: dict[str, Any] = {"instances": [{"image": {"b64": image}} for image in (good, bad)]}
        if "v2" in path:
            body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": [good, bad]}]}
        refused = ready.post(path, json=body)
        assert refused.status_code == 415
        assert refused.json["detail"].startswith("film 2: ")

    def test_requests_that_find_no_room_for_their_bytes_come_again_later(
        self, ready: FlaskClient, sent: bytes, room: ByteBudget
    ) -> None:
        room.change(room.most - len(sent) + 1)
        refused = ready.post("/v1/predictions", data=sent)
        assert (refused.status_code, refused.json["title"]) == (429, "overloaded")
        assert int(refused.headers["Retry-After"]) >= 1
        assert chunked(ready, sent).status_code == 429
        assert room.held == room.most - len(sent) + 1
        room.change(-1)
        assert ready.post("/v1/predictions", data=sent).status_code == 200

    def test_bytes_are_given_back_however_a_request_ends(
        self, ready: FlaskClient, sent: bytes, room: ByteBudget
    ) -> None:
        for data in (sent, b"", b"no film", bytes(3 << 20)):
            ready.post("/v1/predictions", data=data)
        ready.post("/v1/predictions", data={"image": (BytesIO(sent), "a.png")}, **MULTIPART)
        ready.post("/v1/predictions", data=sent, headers={"Content-Encoding": "gzip"})
        ready.post("/nowhere", data=sent)
        assert room.held == 0


@pytest.fixture
def room(ready: FlaskClient) -> ByteBudget:
    found = ready.application.extensions["byte_budget"]
    assert isinstance(found, ByteBudget)
    return found
