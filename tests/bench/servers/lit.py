"""LitServe: its HTTP process hands a request over a queue to a worker. Arguments: port, workers."""

import sys
from typing import Any

import litserve
from fastapi import Request

from tests.bench.servers import work


class Api(litserve.LitAPI):  # type: ignore[misc]  # it is not in the environment of the checks
    def setup(self, device: str) -> None:
        self.answer = work.load()

    def decode_request(self, request: Request) -> bytes:
        return bytes(request["image"].file.read())  # of a form

    def predict(self, x: bytes, **_: Any) -> dict[str, Any]:
        return self.answer(x)

    def encode_response(self, output: dict[str, Any], **_: Any) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=int(sys.argv[2]), timeout=120)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
