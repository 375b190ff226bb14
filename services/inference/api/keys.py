"""API keys over HTTP, for keys of the scope `admin`: list, make, revoke. `mammo keys` does the same by the store."""

from flask import Blueprint, Response, jsonify, request
from pydantic import ValidationError

from services.inference.api.scopes import needs
from services.inference.service import InferenceService
from shared.api import KeyFacts, KeyList, KeyMade, KeyRequest
from shared.errors import InputError
from shared.store.access import ApiKey, add_key, describe_key, new_key, read_keys, revoke_key


def blueprint(service: InferenceService) -> Blueprint:
    api = Blueprint("keys", __name__)

    @api.get("/v1/keys")
    @needs("admin")
    def listed() -> Response:
        kept = read_keys(service.store).keys
        return jsonify(KeyList(keys=tuple(_facts(key) for key in kept)).model_dump())

    @api.post("/v1/keys")
    @needs("admin")
    def made() -> tuple[Response, int]:
        wanted, key = _wanted(request.get_json(force=True, silent=True)), new_key()
        kept = describe_key(
            key,
            wanted.name,
            wanted.scopes,
            days=wanted.days,
            requests_a_minute=wanted.requests_a_minute,
            requests_at_once=wanted.requests_at_once,
        )
        add_key(service.store, kept)
        service.access.refresh()
        return jsonify(KeyMade(**_facts(kept).model_dump(), key=key).model_dump()), 201

    @api.delete("/v1/keys/<key_id>")
    @needs("admin")
    def revoked(key_id: str) -> Response:
        kept = revoke_key(service.store, key_id)
        service.access.refresh()
        return jsonify(_facts(kept).model_dump())

    return api


def _wanted(document: object) -> KeyRequest:
    try:
        return KeyRequest.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg'].lower()}" for problem in error.errors()
        )
        raise InputError(f"this key can't be made: {problems}") from error


def _facts(key: ApiKey) -> KeyFacts:
    return KeyFacts.model_validate(key.model_dump(exclude={"sha256"}))
