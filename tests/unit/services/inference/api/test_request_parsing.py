"""Queries and bodies are checked against their types; what is wrong is told without quoting what was sent."""

from typing import Any

import pytest
from flask import Flask

from services.inference.api import request_parsing
from shared.api.keys import KeyRequest
from shared.api.predictions import PredictionQuery
from shared.errors import InputError


@pytest.fixture(scope="module")
def app() -> Flask:
    return Flask(__name__)


class TestQuery:
    def test_a_query_is_read_into_its_type(self, app: Flask) -> None:
        with app.test_request_context("/?explain=heatmap&timeout_ms=250"):
            read = request_parsing.query(PredictionQuery)
        assert (read.explain, read.timeout_ms, read.operating_point) == ("heatmap", 250, "screening")

    @pytest.mark.parametrize(
        ("query", "told"),
        [("timeout_ms=soon", "timeout_ms"), ("size=7", "size: extra inputs"), ("view=1&view=1", "repeated")],
    )
    def test_a_query_that_can_not_be_is_told(self, app: Flask, query: str, told: str) -> None:
        with app.test_request_context(f"/?{query}"), pytest.raises(InputError, match=told):
            request_parsing.query(PredictionQuery)


class TestBody:
    @pytest.mark.parametrize(
        "body", ["", "[]", "null", '{"name": 7}', "{" * 100_000, '{"name": "a", "days": "7"}', "\xff"]
    )
    def test_a_body_of_another_form_is_told(self, app: Flask, body: Any) -> None:
        with app.test_request_context("/", method="POST", data=body), pytest.raises(InputError, match="see /docs"):
            request_parsing.body(KeyRequest)

    def test_what_was_sent_is_not_quoted(self, app: Flask) -> None:
        with (
            app.test_request_context("/", method="POST", data='{"name": "Mrs. Smith !", "days": "secret"}'),
            pytest.raises(InputError) as told,
        ):
            request_parsing.body(KeyRequest)
        assert not {"Smith", "secret"} & set(str(told.value).replace("'", " ").split())
