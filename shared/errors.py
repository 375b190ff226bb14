"""Every error that Mammostack raises on purpose.

    MammoError
    ├── InputError                 what was handed in is wrong; the sender can mend it
    │   ├── DatasetError           a data set folder or archive (names the file and the line)
    │   ├── PlanError              a run or a retraining job asks for something that can't be
    │   └── ImageError             an image that can't be worked on
    │       ├── UnsupportedImage   not a format that is read
    │       │   └── UnsuitableKind an image of a kind that is never judged, such as For Processing
    │       ├── UndecodableImage   truncated or corrupt
    │       ├── ImageTooLarge      refused before memory is taken
    │       ├── ImageTooSmall      far fewer pixels than a mammogram has
    │       └── NotAMammogram      no breast was found in it
    ├── StoreError                 the object store
    │   ├── ObjectNotFound
    │   ├── PreconditionFailed     a conditional write lost against another writer
    │   ├── StoreUnavailable       time-outs, 5xx, throttling: a retry helps
    │   └── StoreMisconfigured     access denied, no such bucket: names the setting
    │       └── StoreUnsupported   the server does not implement what is asked of it
    ├── QueueUnavailable           the broker can't be reached: a retry helps
    ├── QueueMisconfigured         it refuses us, or would lose messages: names the setting
    ├── JobInterrupted             a long job was asked to stop; it goes on from where it was
    ├── RunError                   a run is unknown or has failed
    │   └── RunNotFound
    ├── AccessError                API keys
    │   ├── KeyUnknown             there is no such key
    │   ├── NotAuthenticated       no key came with the request, or none that is valid
    │   ├── NotAllowed             the key is not good for this
    │   └── LimitReached           more requests than the key is allowed: later it stands a chance
    ├── WeightsUnavailable         pretrained weights can't be had
    └── ModelError                 the registry of models
        ├── ModelNotFound
        ├── ModelCorrupt           a file's SHA-256 is not the card's
        ├── ModelNotReady          nothing is loaded yet
        └── PromotionRefused       the gate said no

Each class carries `code` (stable, for programs), `retryable` (does the same call stand a chance later?) and
`http_status`. The message is one line for a person and ends with what to do next.
"""

from typing import ClassVar


class MammoError(Exception):
    """The root of the tree."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500


class InputError(MammoError):
    code = "invalid-input"
    http_status = 400


class DatasetError(InputError):
    """`where` is the file, with `:line` behind it when a line is at fault."""

    code = "invalid-dataset"

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where


class PlanError(InputError):
    code = "invalid-plan"


class ImageError(InputError):
    code = "invalid-image"
    http_status = 422


class UnsupportedImage(ImageError):
    code = "unsupported-image"
    http_status = 415


class UnsuitableKind(UnsupportedImage):
    """`kind` names what the image is instead of a mammogram for presentation, such as "tomosynthesis"."""

    code = "unsuitable-kind"

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class UndecodableImage(ImageError):
    code = "undecodable-image"


class ImageTooLarge(ImageError):
    code = "image-too-large"
    http_status = 413


class ImageTooSmall(ImageError):
    code = "image-too-small"


class NotAMammogram(ImageError):
    """An image without a breast, or one that the gate refuses.

    `reason` says what was seen, without the advice that the message ends with. `gate_score` says how much the image
    looks like a mammogram, from 0 (certainly none) to 1.
    """

    code = "not-a-mammogram"

    def __init__(self, reason: str, *, advice: str = "send one whole mammogram", gate_score: float = 0.0) -> None:
        super().__init__(f"{reason}; {advice}")
        self.reason = reason
        self.gate_score = gate_score


class StoreError(MammoError):
    code = "store"


class ObjectNotFound(StoreError):
    code = "object-not-found"
    http_status = 404

    def __init__(self, key: str) -> None:
        super().__init__(f"{key}: there is no such object in the store")
        self.key = key


class PreconditionFailed(StoreError):
    code = "precondition-failed"
    http_status = 409


class StoreUnavailable(StoreError):
    code = "store-unavailable"
    retryable = True
    http_status = 503


class StoreMisconfigured(StoreError):
    code = "store-misconfigured"


class StoreUnsupported(StoreMisconfigured):
    code = "store-unsupported"


class QueueUnavailable(MammoError):
    code = "queue-unavailable"
    retryable = True
    http_status = 503


class QueueMisconfigured(MammoError):
    code = "queue-misconfigured"
    http_status = 503


class JobInterrupted(MammoError):
    code = "job-interrupted"
    retryable = True


class RunError(MammoError):
    code = "run"


class RunNotFound(RunError):
    code = "run-not-found"
    http_status = 404


class AccessError(MammoError):
    code = "access"


class KeyUnknown(AccessError):
    code = "key-unknown"
    http_status = 404


class NotAuthenticated(AccessError):
    code = "not-authenticated"
    http_status = 401


class NotAllowed(AccessError):
    code = "not-allowed"
    http_status = 403


class LimitReached(AccessError):
    """`retry_after_s` says when the next request is allowed."""

    code = "limit-reached"
    retryable = True
    http_status = 429

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WeightsUnavailable(MammoError):
    code = "weights-unavailable"


class ModelError(MammoError):
    code = "model"


class ModelNotFound(ModelError):
    code = "model-not-found"
    http_status = 404


class ModelCorrupt(ModelError):
    code = "model-corrupt"


class ModelNotReady(ModelError):
    code = "model-not-ready"
    retryable = True
    http_status = 503


class PromotionRefused(ModelError):
    code = "promotion-refused"
    http_status = 409
