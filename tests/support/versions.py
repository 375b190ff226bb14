"""What tests of the inference service wait for."""

import time

from flask.testing import FlaskClient


def wait_for_version(client: FlaskClient, version: str) -> None:
    until = time.monotonic() + 20
    while client.get("/readyz").json.get("version") != version:
        assert time.monotonic() < until, f"{version} was not loaded within 20 s"
        time.sleep(0.02)
