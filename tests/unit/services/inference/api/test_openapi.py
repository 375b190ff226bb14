"""The OpenAPI document: that of the routes that there are, valid, with an example for every type, and served."""

import json
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from pydantic import TypeAdapter

from services.inference.api.auth import scope_of
from services.inference.api.openapi import Media, operations
from services.inference.api.openapi_examples import EXAMPLES
from shared.api.protocols import InferRequest, Instances
from shared.modelling.card import ModelCard

UNDESCRIBED = {"/", "/page/<path:name>", "/openapi.json", "/docs", "/docs/<name>"}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    return dict(client.get("/openapi.json").json or {})


def rules(app: Flask) -> set[tuple[str, str]]:
    """Path as OpenAPI writes it, and method, of all routes but the pages."""
    return {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule not in UNDESCRIBED
    }


class TestOperations:
    def test_every_route_says_which_key_it_needs(self, client: FlaskClient, document: dict[str, Any]) -> None:
        for path, method, _, view, _ in operations(client.application):
            scope = scope_of(view)
            described = document["paths"][path][method]
            assert described["security"] == ([{"key": [scope]}] if scope else [])
            assert ("401" in described["responses"]) == (scope is not None)

    def test_every_type_that_is_taken_or_answered_has_an_example(self, client: FlaskClient) -> None:
        used = {
            content
            for *_, operation in operations(client.application)
            for content in (*operation.body, *operation.answers)
            if not isinstance(content, Media)
        }
        assert used - set(EXAMPLES) == {ModelCard}  # a card is long, and the page shows a real one


class TestOpenapi:
    def test_the_document_is_valid_openapi_3_1(self, document: dict[str, Any]) -> None:
        assert document["openapi"].startswith("3.1")
        validate(document)

    def test_routes_and_document_are_the_same(self, client: FlaskClient, document: dict[str, Any]) -> None:
        described = {(path, method) for path, methods in document["paths"].items() for method in methods}
        assert described == rules(client.application)

    def test_operations_have_names_of_their_own(self, document: dict[str, Any]) -> None:
        names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("form", EXAMPLES, ids=lambda form: form.__name__)
    def test_an_example_is_of_its_type_and_says_all_that_it_says(self, form: type) -> None:
        example = EXAMPLES[form]
        adapter: TypeAdapter[Any] = TypeAdapter(form)
        adapter.validate_json(json.dumps(example))
        assert set(example) <= set(adapter.json_schema(by_alias=True)["properties"])

    def test_the_page_to_try_it_brings_all_its_files(self, client: FlaskClient) -> None:
        page = client.get("/docs")
        assert page.status_code == 200
        for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert address.startswith("/"), "nothing is asked of another server"
            assert client.get(address).status_code == 200

    @pytest.mark.parametrize("name", ["swagger-ui-standalone-preset.js", "..%2f__init__.py", "x"])
    def test_nothing_else_of_swagger_s_package_is_served(self, client: FlaskClient, name: str) -> None:
        assert client.get(f"/docs/{name}").status_code == 404

    def test_who_tries_the_examples_gets_real_answers(self, ready: FlaskClient) -> None:
        infer, instances = EXAMPLES[InferRequest], EXAMPLES[Instances]
        assert ready.post("/v2/models/modified_cnn/infer", json=infer).json["outputs"][0]["shape"] == [1, 3]
        assert len(ready.post("/v1/models/modified_cnn:predict", json=instances).json["predictions"]) == 1
        assert len(ready.post("/v1/models/modified_cnn:explain", json=instances).json["explanations"]) == 1

    def test_a_name_ends_where_kserve_s_verb_begins(self, client: FlaskClient) -> None:
        allowed = client.options("/v1/models/modified_cnn:predict").headers["Allow"]
        assert set(allowed.split(", ")) == {"POST", "OPTIONS"}
