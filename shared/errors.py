"""All errors that Mammostack raises on purpose.

    MammoError
    ├── InputError                 invalid input; the sender can correct it
    │   ├── DatasetError           a data set folder or archive; names the file and the line
    │   ├── PlanError              a run or a retraining job with impossible options
    │   └── ImageError             an image that can't be processed
    │       ├── UnsupportedImage   an unsupported format
    │       │   └── UnsuitableKind an image of an unsuitable kind, such as For Processing
    │       ├── UndecodableImage   truncated or corrupt
    │       ├── ImageTooLarge      rejected before memory is allocated
    │       ├── ImageTooSmall      far fewer pixels than a mammogram has
    │       └── NotAMammogram      no breast was found
    ├── StoreError                 the object store
    │   ├── ObjectNotFound
    │   ├── ObjectUnreadable       a record that is empty, damaged or has another layout
    │   ├── ObjectOfLaterRelease   a record that only a later release can read: deploying it helps
    │   ├── PreconditionFailed     a conditional write failed: another writer was first
    │   ├── StoreUnavailable       time-outs, 5xx, throttling: a retry helps
    │   └── StoreMisconfigured     access denied, no such bucket; names the setting
    │       └── StoreUnsupported   the server does not implement the operation
    ├── QueueUnavailable           the broker can't be reached: a retry helps
    ├── DiskUnavailable            this machine's disk is full, read-only or lost: a retry helps
    ├── ServiceUnavailable         another system, such as an archive, does not answer: a retry helps
    ├── QueueMisconfigured         the broker rejects the connection or could lose messages; names the setting
    ├── JobInterrupted             a long job was stopped; it continues from its checkpoint
    ├── RunError                   a run is unknown or has failed
    │   └── RunNotFound
    ├── AccessError                API keys
    │   ├── KeyUnknown             there is no such key
    │   ├── NotAuthenticated       the request has no key, or an invalid one
    │   ├── NotAllowed             the key lacks the scope
    │   └── LimitReached           the key's request limit is reached: a later retry helps
    ├── WeightsUnavailable         pretrained weights are unavailable
    └── ModelError                 the model registry
        ├── ModelNotFound
        ├── ModelCorrupt           a file's SHA-256 differs from the card's
        ├── ModelNotReady          no model is loaded yet
        └── PromotionRefused       the promotion gate rejected the model

Each class has `code` (stable, for programs), `retryable` (True if the same call may succeed later) and
`http_status`. The message is one line for a person and ends with what to do next. Where it may name buckets, addresses
or paths of the installation, `for_clients` stands for it in answers over HTTP.
"""

from typing import ClassVar, Self


class MammoError(Exception):
    """The root of all errors."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500
    for_clients: str | None = None

    def telling_clients(self, text: str) -> Self:
        """Return this error with what clients of the service learn of it."""
        self.for_clients = text
        return self


def text_for_clients(error: MammoError) -> str:
    """Return what an error says to clients of the service, who are not to learn where its store and broker are."""
    return error.for_clients or str(error)


class InputError(MammoError):
    """Invalid input that the sender can correct."""

    code = "invalid-input"
    http_status = 400


class DatasetError(InputError):
    """An invalid data set folder or archive.

    Args:
        where: the file, followed by `:line` if a line is at fault.
        problem: what is wrong and what to do.
    """

    code = "invalid-dataset"

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where


class PlanError(InputError):
    """A run or a retraining job with impossible options."""

    code = "invalid-plan"


class ImageError(InputError):
    """An image that can't be processed."""

    code = "invalid-image"
    http_status = 422


class UnsupportedImage(ImageError):
    """An image in an unsupported format."""

    code = "unsupported-image"
    http_status = 415


class UnsuitableKind(UnsupportedImage):
    """An image of a kind that is never judged.

    Args:
        message: what is wrong and what to do.
        kind: the kind of image, such as "tomosynthesis".
    """

    code = "unsuitable-kind"

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class UndecodableImage(ImageError):
    """A truncated or corrupt image."""

    code = "undecodable-image"


class ImageTooLarge(ImageError):
    """An image rejected for its size before memory is allocated."""

    code = "image-too-large"
    http_status = 413


class ImageTooSmall(ImageError):
    """An image with far fewer pixels than a mammogram."""

    code = "image-too-small"


class NotAMammogram(ImageError):
    """An image without a breast, or one that the gate rejects.

    Args:
        reason: what was seen.
        advice: what to do; the end of the message.
        gate_score: similarity to a mammogram, from 0 (certainly none) to 1.
    """

    code = "not-a-mammogram"

    def __init__(self, reason: str, *, advice: str = "send one whole mammogram", gate_score: float = 0.0) -> None:
        super().__init__(f"{reason}; {advice}")
        self.reason = reason
        self.gate_score = gate_score


class StoreError(MammoError):
    """A failure of the object store."""

    code = "store"
    for_clients = "the object store failed; the operator finds the reason in the log, by the request's ID"


class ObjectNotFound(StoreError):
    """A missing object."""

    code = "object-not-found"
    http_status = 404
    for_clients = "an object that this request needs is not in the store; the operator finds its key in the log"

    def __init__(self, key: str) -> None:
        super().__init__(f"{key}: there is no such object in the store")
        self.key = key


class ObjectUnreadable(StoreError):
    """A stored record that is empty, truncated or damaged, or has another layout.

    Args:
        key: of the object.
        reason: what is wrong with it, without its content.
    """

    code = "object-unreadable"
    for_clients = "a record in the store can't be read; the operator finds it with `mammo doctor`"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key} can't be read: {reason}; `mammo doctor` says what it costs and how to replace it")
        self.key, self.reason = key, reason


class ObjectOfLaterRelease(StoreError):
    """A stored record that only a later release can read.

    Args:
        key: of the object.
        release: that wrote it, where it is known.
    """

    code = "object-of-later-release"
    retryable = True
    http_status = 503
    for_clients = "a record in the store is of a later release; the operator has to deploy it"

    def __init__(self, key: str, release: str | None = None) -> None:
        made = f"release {release}" if release else "a later release"
        super().__init__(f"{key} was made by {made}; deploy it or later")
        self.key, self.release = key, release


class PreconditionFailed(StoreError):
    """A conditional write that failed because another writer was first."""

    code = "precondition-failed"
    http_status = 409
    for_clients = "another request changed the same object meanwhile; try again"


class StoreUnavailable(StoreError):
    """A temporary failure of the object store: time-out, 5xx or throttling."""

    code = "store-unavailable"
    retryable = True
    http_status = 503
    for_clients = "the object store does not answer; try again later"


class StoreMisconfigured(StoreError):
    """A wrong setting of the object store, such as its credentials or bucket."""

    code = "store-misconfigured"
    for_clients = "the object store refuses the service; the operator finds the reason in the log, by the request's ID"


class StoreUnsupported(StoreMisconfigured):
    """An operation that the object store's server does not implement."""

    code = "store-unsupported"


class QueueUnavailable(MammoError):
    """A broker that can't be reached."""

    code = "queue-unavailable"
    retryable = True
    http_status = 503
    for_clients = (
        "the broker does not take messages; repeat the request later, with the same Idempotency-Key if it had one"
    )


class DiskUnavailable(MammoError):
    """A disk of this machine, such as that of the temporary folder, that takes no files.

    Args:
        error: of the operating system.
    """

    code = "disk-unavailable"
    retryable = True
    http_status = 503
    for_clients = "the service has no room for temporary files; try again later"

    def __init__(self, error: OSError) -> None:
        place = f" of {error.filename}" if error.filename else ""
        super().__init__(
            f"the disk{place} can't be used ({error.strerror or error}); free some space on it, or replace it: "
            "TMPDIR names the temporary folder"
        )


class ServiceUnavailable(MammoError):
    """Another system that does not answer for now, such as an archive or the inference service."""

    code = "service-unavailable"
    retryable = True
    http_status = 503


class QueueMisconfigured(MammoError):
    """A broker that rejects the connection or could lose messages."""

    code = "queue-misconfigured"
    http_status = 503
    for_clients = "the broker can't be used; the operator finds the reason in the log, by the request's ID"


class JobInterrupted(MammoError):
    """A long job that was stopped and continues from its checkpoint when run again."""

    code = "job-interrupted"
    retryable = True


class RunError(MammoError):
    """A run that failed or can't continue."""

    code = "run"


class RunNotFound(RunError):
    """An unknown run."""

    code = "run-not-found"
    http_status = 404


class AccessError(MammoError):
    """A failure of authentication or authorisation."""

    code = "access"


class KeyUnknown(AccessError):
    """An unknown API key ID."""

    code = "key-unknown"
    http_status = 404


class NotAuthenticated(AccessError):
    """A request without a valid API key."""

    code = "not-authenticated"
    http_status = 401


class NotAllowed(AccessError):
    """A request beyond the API key's scopes."""

    code = "not-allowed"
    http_status = 403


class LimitReached(AccessError):
    """A request beyond the API key's limits.

    Args:
        message: what is wrong and what to do.
        retry_after_s: seconds until the next request is allowed.
    """

    code = "limit-reached"
    retryable = True
    http_status = 429

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WeightsUnavailable(MammoError):
    """Pretrained weights that are unavailable."""

    code = "weights-unavailable"


class ModelError(MammoError):
    """A failure of the model registry."""

    code = "model"


class ModelNotFound(ModelError):
    """An unknown network, version or alias."""

    code = "model-not-found"
    http_status = 404


class ModelCorrupt(ModelError):
    """A model file that is damaged or differs from its card."""

    code = "model-corrupt"
    for_clients = "the model is damaged or of another release; the operator finds the reason in the log"


class ModelNotReady(ModelError):
    """An inference service that has not loaded a model yet."""

    code = "model-not-ready"
    retryable = True
    http_status = 503


class PromotionRefused(ModelError):
    """A model that the promotion gate rejected."""

    code = "promotion-refused"
    http_status = 409
