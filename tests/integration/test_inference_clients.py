"""The service under gunicorn, asked by clients that others wrote, and ended in the middle of work."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import requests
import tritonclient.http as triton

from shared.store import models
from tests.support.published import NETWORK
from tests.support.servers import wait_until
from tests.support.serving import HEADERS, Served


class TestInferenceClients:
    def test_the_client_of_triton_is_at_home(self, served: Served, films: list[bytes]) -> None:
        native = served.client.predict(films[0])
        headers = dict(HEADERS)  # the client adds to it
        client = triton.InferenceServerClient(served.address)
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(NETWORK, headers=headers)
        assert client.get_model_metadata(NETWORK, headers=headers)["versions"] == ["v1"]
        for binary in (True, False):
            image = triton.InferInput("image", [2], "BYTES")
            image.set_data_from_numpy(np.array([films[0], films[1]], np.object_), binary_data=True)
            outputs = [
                triton.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "class", "score")
            ]
            answer = client.infer(NETWORK, [image], outputs=outputs, request_id="7", headers=headers)
            assert answer.get_response()["id"] == "7"
            chances = answer.as_numpy("probabilities")
            assert chances.shape == (2, 3)
            assert chances[0] == pytest.approx(list(dict(native.probabilities).values()), abs=1e-5)
            assert answer.as_numpy("score").shape == (2,)
        with pytest.raises(triton.InferenceServerException, match="is not served"):
            client.get_model_metadata("resnet50", headers=headers)
        client.close()

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    def test_triton_s_client_may_compress_what_it_sends(self, served: Served, films: list[bytes], coding: str) -> None:
        client = triton.InferenceServerClient(served.address)
        image = triton.InferInput("image", [1], "BYTES")
        image.set_data_from_numpy(np.array([films[0]], np.object_), binary_data=True)
        packed = client.infer(NETWORK, [image], headers=dict(HEADERS), request_compression_algorithm=coding)
        native = served.client.predict(films[0])
        assert packed.as_numpy("probabilities")[0] == pytest.approx(list(dict(native.probabilities).values()), abs=1e-5)
        client.close()

    @pytest.mark.parametrize("form", ["length", "chunked"])
    def test_a_client_that_sends_far_too_much_still_reads_why_it_is_refused(self, served: Served, form: str) -> None:
        pieces = [bytes(1 << 20)] * 70
        data = b"".join(pieces) if form == "length" else iter(pieces)
        answer = requests.post(f"{served.url}/v1/predictions", data=data, headers=HEADERS, timeout=20)
        assert answer.status_code == 413
        assert "64 MB (MAMMO_MAX_IMAGE_MB)" in answer.json()["detail"]

    def test_a_chunked_film_is_answered(self, served: Served, films: list[bytes]) -> None:
        answer = requests.post(f"{served.url}/v1/predictions", data=iter([films[0]]), headers=HEADERS, timeout=20)
        assert answer.status_code == 200

    def test_a_promotion_under_load_fails_no_request(self, served: Served, films: list[bytes]) -> None:
        ended, seen, errors = threading.Event(), set(), []

        def ask(number: int) -> None:
            session = requests.Session()
            while not ended.is_set():
                answer = session.post(
                    f"http://{served.address}/v1/predictions",
                    data=films[number % len(films)],
                    headers=HEADERS,
                    timeout=20,
                )
                if answer.status_code == 200:
                    seen.add(answer.json()["model"]["version"])
                else:
                    errors.append(answer.text)

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask, number) for number in range(4)]
            try:
                for version in ("v2", "v1", "v2", "v1"):
                    models.promote(served.store, NETWORK, version, models.MoveReason(by="test", why="test"), force=True)
                    seen.clear()
                    wait_until(partial(seen.__contains__, version), 20)
            finally:
                ended.set()
        assert errors == []
        assert [each.exception() for each in asking] == [None] * 4

    @pytest.mark.alone  # on a busy machine a client may not have connected yet when the service is told to end
    def test_requests_in_hand_are_answered_before_the_service_ends(self, served: Served, films: list[bytes]) -> None:
        def ask(number: int) -> int:
            answer = requests.post(
                f"http://{served.address}/v1/predictions", data=films[number % 4], headers=HEADERS, timeout=30
            )
            return answer.status_code

        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(ask, number) for number in range(6)]
            wait_until(lambda: any(each.done() for each in asked), 20)
            served.process.send_signal(signal.SIGTERM)
            assert [each.result(30) for each in asked] == [200] * 6
        assert served.process.wait(30) == 0

    def test_more_than_the_service_holds_is_refused_with_a_time_and_the_rest_is_answered(
        self, served: Served, films: list[bytes]
    ) -> None:
        def ask(number: int) -> "requests.Response":
            return requests.post(
                f"http://{served.address}/v1/predictions", data=films[number % 4], headers=HEADERS, timeout=60
            )

        with ThreadPoolExecutor(60) as pool:
            answers = list(pool.map(ask, range(120)))
        counts = {status: sum(answer.status_code == status for answer in answers) for status in (200, 429)}
        assert counts[200] + counts[429] == 120
        assert counts[429] > 0
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status_code == 429)
        assert requests.get(f"http://{served.address}/healthz", timeout=5).status_code == 200
