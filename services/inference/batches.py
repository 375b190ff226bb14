"""Process a part of a batch: one result line per image, finding or problem."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from services.inference.applicability_metrics import count_applicability
from services.inference.findings import finding
from services.inference.serving.heatmaps import overlay_png
from services.inference.serving.predictor import ServedModel, explanation, operating_point, predict
from shared.api.batches import BatchLine, ImageProblem
from shared.batches.flow import PREDICT
from shared.batches.plan import BatchPlan, read_images
from shared.digests import sha256_hex
from shared.errors import (
    ImageError,
    ImageTooLarge,
    JobInterrupted,
    MammoError,
    ObjectNotFound,
    StoreMisconfigured,
    text_for_clients,
)
from shared.modelling.calibration import OperatingPoint
from shared.queue.attempts import AttemptCounter, GivenUp, attempt, code_of, storable, text_of
from shared.store import layout
from shared.store.interface import ObjectStore

_log = logging.getLogger("mammostack.inference")


class ImageUnreadable(MammoError):
    """The store refuses this object to us, and gave us others."""

    code = "image-unreadable"


_HOPELESS = (ImageError, ImageUnreadable, ObjectNotFound)


@dataclass(frozen=True)
class BatchLimits:
    """`most_bytes` of an image file, `max_tries` of one that fails; `at_once` images are processed, one on a core."""

    most_bytes: int
    max_tries: int
    at_once: int = 1


def predict_part(
    store: ObjectStore,
    plan: BatchPlan,
    part: str,
    model: ServedModel,
    tries: AttemptCounter,
    limits: BatchLimits,
    stopping: Callable[[], bool] = lambda: False,
) -> list[BatchLine]:
    """Predict the images of a part; store heat maps if requested. Lines are in the order of the images.

    If a worker died in the part, its images are processed one after the other, so that each of them is tried by itself:
    those that were at work when it died have a try more, which pays for the one that another image may have ended.

    Raises:
        PlanError: there is no such part.
        InputError: the model has no operating point of this name.
        JobInterrupted: `stopping` returned True between two images.
        MammoError: one of `attempts.INFRASTRUCTURE_ERRORS`.
    """
    point, images = operating_point(model.card, plan.operating_point), read_images(store, plan, part)
    at_once = 1 if tries.has_begun(plan.batch, PREDICT, [_try_of(index) for index, _ in images]) else limits.at_once

    def predict_image(image: tuple[int, str]) -> BatchLine:
        index, key = image
        if stopping():
            raise JobInterrupted(
                f"part {part} of batch {plan.batch} was stopped; the queue delivers it again unless the batch is "
                "cancelled"
            )

        def process() -> BatchLine:
            _check_name(key)
            return _predict_image(store, plan, index, key, model, point, limits.most_bytes)

        lost = at_once < limits.at_once and tries.has_begun(plan.batch, PREDICT, [_try_of(index)])
        most = limits.max_tries + 1 if lost else limits.max_tries
        result = attempt(tries, plan.batch, PREDICT, _try_of(index), most, process, _HOPELESS)
        return failed_line(index, key, result.reason) if isinstance(result, GivenUp) else result

    with ThreadPoolExecutor(at_once, "image") as threads:
        return list(threads.map(predict_image, images))  # after an error the images that were not begun are left out


def _try_of(index: int) -> str:
    """Return the name under which the attempts at an image are counted."""
    return f"{index:06d}"


def failed_line(index: int, key: str, reason: Exception) -> BatchLine:
    """Return the result line of an image without a finding."""
    detail = "unexpected error; see the worker's log"
    if isinstance(reason, MammoError):  # a missing image is named by the key that the client gave
        detail = text_of(reason) if isinstance(reason, ObjectNotFound) else storable(text_for_clients(reason))
    return BatchLine(index=index, key=storable(key), problem=ImageProblem(code=code_of(reason), detail=detail))


def to_document(lines: list[BatchLine]) -> bytes:
    """JSON, a line for each."""
    return b"".join(line.model_dump_json().encode() + b"\n" for line in lines)


def _predict_image(
    store: ObjectStore,
    plan: BatchPlan,
    index: int,
    key: str,
    model: ServedModel,
    point: OperatingPoint,
    most_bytes: int,
) -> BatchLine:
    data, began = _fetch(store, key, most_bytes), time.perf_counter()
    explain = explanation(point) if plan.explain == "heatmap" else None
    prediction = predict(model, data, explain=explain)
    count_applicability(model.card, prediction)
    heatmap = None
    if prediction.heat is not None:
        png = overlay_png(prediction.heat)
        heatmap = layout.batch_heatmap(plan.batch, index, sha256_hex(png))
        store.put(heatmap, png)
    image_finding = finding(model.card, prediction, point, time.perf_counter() - began)
    return BatchLine(index=index, key=key, finding=image_finding, heatmap=heatmap, heatmap_class=prediction.explained)


def _check_name(key: str) -> None:
    """Check that a key is valid UTF-8, as the result lines are.

    Raises:
        ImageUnreadable: it is not.
    """
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ImageUnreadable("the file's name is not valid UTF-8; rename the file and create a new batch") from None


def _fetch(store: ObjectStore, key: str, most_bytes: int) -> bytes:
    """Read an image file.

    Raises:
        ImageTooLarge: it exceeds `most_bytes`; it is not read.
        ImageUnreadable: access is denied.
        ObjectNotFound: there is no such object.
    """
    try:
        if (size := store.size(key)) > most_bytes:
            raise ImageTooLarge(f"the file has {size >> 20} MB; the limit is {most_bytes >> 20} MB")
        return store.get(key)
    except StoreMisconfigured as error:  # not the store as a whole: it has just told what this part holds
        raise ImageUnreadable("the service lacks permission to read this object; ask the service's operator") from error
