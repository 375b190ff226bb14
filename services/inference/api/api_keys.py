"""API keys over HTTP: list, create, revoke; needs the scope `admin`.

`mammo keys` does the same directly on the store.
"""

from flask import Blueprint, Response

from services.inference.api import request_parsing
from services.inference.api.auth import needs
from services.inference.api.openapi import describe
from services.inference.service import InferenceService
from shared.api.keys import KeyFacts, KeyList, KeyMade, KeyRequest
from shared.store.api_keys import ApiKey, add_key, describe_key, new_key, read_keys, revoke_key


def blueprint(service: InferenceService) -> Blueprint:
    """Create the routes of `/v1/keys`."""
    api = Blueprint("keys", __name__)

    @api.get("/v1/keys")
    @needs("admin")
    @describe("keys", "List API keys, without the keys themselves", KeyList, errors=(503,))
    def list_keys() -> Response:
        keys = read_keys(service.store).unrevoked
        return request_parsing.json_response(KeyList(keys=tuple(_facts(key) for key in keys)))

    @api.post("/v1/keys")
    @needs("admin")
    @describe("keys", "Create an API key", KeyMade, status=201, body=(KeyRequest,), errors=(400, 409, 413, 503))
    def create_key() -> Response:
        """Create an API key and return it once; the store holds only its hash."""
        new, key = request_parsing.body(KeyRequest), new_key()
        stored = describe_key(
            key,
            new.name,
            new.scopes,
            days=new.days,
            requests_a_minute=new.requests_a_minute,
            requests_at_once=new.requests_at_once,
        )
        add_key(service.store, stored)
        service.authenticator.refresh()
        return request_parsing.json_response(KeyMade(**_facts(stored).model_dump(), key=key), 201)

    @api.delete("/v1/keys/<key_id>")
    @needs("admin")
    @describe("keys", "Revoke an API key", KeyFacts, errors=(404, 409, 503))
    def delete_key(key_id: str) -> Response:
        """Revoke a key; all replicas apply it within seconds."""
        revoked = revoke_key(service.store, key_id)
        service.authenticator.refresh()
        return request_parsing.json_response(_facts(revoked))

    return api


def _facts(key: ApiKey) -> KeyFacts:
    return KeyFacts.model_validate(key.model_dump(exclude={"sha256"}))
