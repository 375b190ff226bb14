"""Batches of predictions over HTTP: create, list, results, resume, cancel.

Workers process the batches; requests reach them through the queue. A batch belongs to the name of the API key that
created it. Other keys get 404 unless they have the scope `admin`. All routes except create and resume work without the
broker.
"""

import re
from collections.abc import Callable
from functools import cache

from flask import Blueprint, Response, g, request

from services.inference.api import request_parsing
from services.inference.api.openapi import Media, describe
from services.inference.service import InferenceService
from services.inference.serving.predictor import operating_point
from shared.api.batches import Batch, BatchList, BatchQuery, BatchRequest
from shared.batches import flow
from shared.batches.plan import BatchNotFound, BatchPlan, batch_id, check_each_once, make_batch, read_batch
from shared.errors import InputError
from shared.queue.messages import Queue
from shared.settings import BrokerSettings
from shared.store.interface import ObjectStore

_LINES = Media(("application/x-ndjson",), {"type": "string", "description": "One BatchLine in JSON per line"})
_IDEMPOTENCY = "Idempotency-Key"
_PURPOSE = "Repeating a request with the same key returns the same batch"


def blueprint(service: InferenceService) -> Blueprint:
    """Create the routes of `/v1/batches`."""
    api, queue = Blueprint("batches", __name__), _queue_of(service.settings.broker)
    _add_collection(api, service, queue)
    _add_batch(api, service.store, queue)
    return api


def _add_collection(api: Blueprint, service: InferenceService, queue: Callable[[], Queue]) -> None:
    store = service.store

    @api.post("/v1/batches")
    @describe(
        "batches",
        "Create a batch of predictions",
        Batch,
        status=202,
        body=(BatchRequest,),
        headers={_IDEMPOTENCY: _PURPOSE},
        errors=(400, 409, 413, 503),
    )
    def create_batch() -> Response:
        """List the prefix now and fix the model version for the whole batch.

        While the broker is unavailable the status is 503: the batch is stored, and the same request with the same
        Idempotency-Key, or a resume, starts it.
        """
        key, batch_request, card = _idempotency_key(), request_parsing.body(BatchRequest), service.model().card
        operating_point(card, batch_request.operating_point)
        check_each_once(batch_request)
        if batch_request.explain and not card.explainable:
            raise InputError(f"{card.network} has no activation map; request predictions only")
        plan = make_batch(
            store,
            batch_id(g.caller.name, key),
            batch_request,
            service.settings.serving.batch_prefix,
            owner=g.caller.name,
            network=card.network,
            version=card.version,
        )
        flow.begin(store, queue(), plan)
        return request_parsing.json_response(flow.describe(store, plan), 202)

    @api.get("/v1/batches")
    @describe("batches", "List the batches of this API key's name", BatchList, query=BatchQuery, errors=(400, 503))
    def list_batches() -> Response:
        """Return the newest batches first; a key with the scope `admin` sees those of all names."""
        owner = None if "admin" in g.caller.scopes else g.caller.name
        ids = flow.list_batches(store, owner, request_parsing.query(BatchQuery).limit)
        return request_parsing.json_response(BatchList(batches=tuple(flow.describe_all(store, ids))))


def _add_batch(api: Blueprint, store: ObjectStore, queue: Callable[[], Queue]) -> None:
    @api.get("/v1/batches/<batch>")
    @describe("batches", "Get the state of a batch", Batch, errors=(404, 503))
    def batch_state(batch: str) -> Response:
        return request_parsing.json_response(flow.describe(store, own(batch)))

    @api.get("/v1/batches/<batch>/results")
    @describe("batches", "Get the results of a batch so far", _LINES, errors=(404, 503))
    def results(batch: str) -> Response:
        """Stream one line of JSON per finished image, in the order of the images.

        An image that could not be predicted has a `problem` instead of a `finding`.
        """
        return Response(flow.read_results(store, own(batch)), mimetype="application/x-ndjson")

    @api.post("/v1/batches/<batch>/resume")
    @describe("batches", "Resume a batch: enqueue its missing images", Batch, status=202, errors=(404, 409, 503))
    def resume_batch(batch: str) -> Response:
        """Enqueue missing parts after the broker lost its messages; safe to repeat."""
        plan = own(batch)
        flow.resume(store, queue(), plan)
        return request_parsing.json_response(flow.describe(store, plan), 202)

    @api.post("/v1/batches/<batch>/cancel")
    @describe("batches", "Cancel a batch", Batch, errors=(404, 503))
    def cancel_batch(batch: str) -> Response:
        """Cancel a batch and keep its results; an ended batch is left unchanged."""
        plan = own(batch)
        flow.cancel(store, plan)
        return request_parsing.json_response(flow.describe(store, plan))

    def own(batch: str) -> BatchPlan:
        """Read a batch of the calling key.

        Raises:
            BatchNotFound: there is no such batch, or it belongs to another key.
        """
        plan = read_batch(store, batch)
        if plan.owner != g.caller.name and "admin" not in g.caller.scopes:
            raise BatchNotFound
        return plan


def _queue_of(settings: BrokerSettings) -> Callable[[], Queue]:
    """Return a function that connects to the broker on first use.

    Importing Celery takes half a second, which a service without batches should not pay.
    """

    @cache
    def queue() -> Queue:
        from shared.queue.broker import Broker  # noqa: PLC0415

        return Broker.open(settings)

    return queue


def _idempotency_key() -> str | None:
    """Read the header Idempotency-Key.

    Raises:
        InputError: the header is malformed.
    """
    key = request.headers.get(_IDEMPOTENCY)
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,200}", key):
        raise InputError(f"the header {_IDEMPOTENCY} must have 1 to 200 visible ASCII characters; correct it")
    return key
