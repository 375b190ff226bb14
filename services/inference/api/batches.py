"""Batches of predictions over HTTP: make, look, read the results, resume, cancel. Workers do them, by way of the queue.

A batch belongs to the name of the API key that made it. Others don't learn that there is one, unless they may
administer. Everything but making and resuming works without the broker.
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
from shared.batches.plan import BatchNotFound, BatchPlan, batch_id, make_batch, read_batch
from shared.errors import InputError, QueueMisconfigured
from shared.queue.messages import Queue
from shared.settings import ServingSettings, SettingsError
from shared.store.interface import ObjectStore

_LINES = Media(("application/x-ndjson",), {"type": "string", "description": "a BatchLine in JSON on each line"})
_IDEMPOTENCY = "Idempotency-Key"
_PURPOSE = "the same key with the same request gives the same batch, however often it is sent"


def blueprint(service: InferenceService) -> Blueprint:
    """`/v1/batches` and what is below it."""
    api, queue = Blueprint("batches", __name__), _queue_of(service.config)
    _add_collection(api, service, queue)
    _add_batch(api, service.store, queue)
    return api


def _add_collection(api: Blueprint, service: InferenceService, queue: Callable[[], Queue]) -> None:
    store = service.store

    @api.post("/v1/batches")
    @describe(
        "batches",
        "Predict many films of the object store",
        Batch,
        status=202,
        body=(BatchRequest,),
        headers={_IDEMPOTENCY: _PURPOSE},
        errors=(400, 409, 413, 503),
    )
    def made() -> Response:
        """A prefix is listed now, and the model in use now answers for all images. While the broker is away the answer
        is 503: the batch is kept, and begun by the same request with the same Idempotency-Key, or by resuming it."""
        key, asked, card = _idempotency_key(), request_parsing.body(BatchRequest), service.model().card
        operating_point(card, asked.operating_point)
        if asked.explain and not card.explainable:
            raise InputError(f"{card.network} has no activation map; ask for predictions alone")
        plan = make_batch(
            store,
            batch_id(g.caller.name, key),
            asked,
            service.config.batch_prefix,
            owner=g.caller.name,
            network=card.network,
            version=card.version,
        )
        flow.begin(store, queue(), plan)
        return request_parsing.sent(flow.describe(store, plan), 202)

    @api.get("/v1/batches")
    @describe("batches", "The batches of this API key's name", BatchList, query=BatchQuery, errors=(400, 503))
    def listed() -> Response:
        """The newest first."""
        found = flow.list_batches(store, g.caller.name, request_parsing.query(BatchQuery).limit)
        return request_parsing.sent(
            BatchList(batches=tuple(flow.describe(store, read_batch(store, each)) for each in found))
        )


def _add_batch(api: Blueprint, store: ObjectStore, queue: Callable[[], Queue]) -> None:
    @api.get("/v1/batches/<batch>")
    @describe("batches", "How far a batch is", Batch, errors=(404, 503))
    def shown(batch: str) -> Response:
        return request_parsing.sent(flow.describe(store, own(batch)))

    @api.get("/v1/batches/<batch>/results")
    @describe("batches", "What there is of a batch's results", _LINES, errors=(404, 503))
    def results(batch: str) -> Response:
        """A line of JSON for each image that is done, in the order of the images, sent as they are read. An image that
        could not be predicted has a `problem` in place of the `finding`."""
        return Response(flow.read_results(store, own(batch)), mimetype="application/x-ndjson")

    @api.post("/v1/batches/<batch>/resume")
    @describe("batches", "Enqueue what is missing of a batch", Batch, status=202, errors=(404, 409, 503))
    def resumed(batch: str) -> Response:
        """For a broker that lost its messages. What is enqueued twice is done once."""
        plan = own(batch)
        flow.resume(store, queue(), plan)
        return request_parsing.sent(flow.describe(store, plan), 202)

    @api.post("/v1/batches/<batch>/cancel")
    @describe("batches", "End a batch where it is", Batch, errors=(404, 503))
    def cancelled(batch: str) -> Response:
        """What is done stays. A batch that has ended stays as it is."""
        plan = own(batch)
        flow.cancel(store, plan)
        return request_parsing.sent(flow.describe(store, plan))

    def own(batch: str) -> BatchPlan:
        """Raises BatchNotFound, for the batches of others too."""
        plan = read_batch(store, batch)
        if plan.owner != g.caller.name and "admin" not in g.caller.scopes:
            raise BatchNotFound
        return plan


def _queue_of(config: ServingSettings) -> Callable[[], Queue]:
    """The broker once it is needed: Celery takes half a second to import, and who never makes a batch needs none."""

    @cache
    def queue() -> Queue:
        from shared.queue.broker import Broker, connect  # noqa: PLC0415
        from shared.queue.celery_app import make_app  # noqa: PLC0415

        try:
            return Broker(make_app(config), connect(config), patient=False)
        except (ValueError, SettingsError):  # whose text may hold a part of the password
            raise QueueMisconfigured(
                "MAMMO_REDIS_URL of the service is not the address of a broker; write redis://:PASSWORD@HOST:PORT/DB, "
                "with '#', '/' and '@' of the password as %23, %2F and %40"
            ) from None

    return queue


def _idempotency_key() -> str | None:
    """Raises InputError."""
    key = request.headers.get(_IDEMPOTENCY)
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,200}", key):
        raise InputError(f"the header {_IDEMPOTENCY} holds 1 to 200 visible ASCII characters; send such a one")
    return key
