"""The page of the errors: classes, codes and statuses read from the code, meanings and advice written here."""

import importlib
import re
from collections.abc import Iterator

from shared.errors import MammoError
from shared.local.commands import ROOT
from tests.reference.markdown import page, table

ADVICE = {
    "internal": ("An unexpected error.", "Look up the request id, or the run, in the log and report it."),
    "invalid-input": ("An argument, or a part of the request, is not valid.", "Correct it as the message says."),
    "invalid-settings": ("A setting is missing or malformed.", "Set the variable that the message names."),
    "invalid-dataset": ("A file of a data set is not valid.", "Correct the file and line that the message names."),
    "invalid-plan": (
        "The options of a run contradict each other or the data set.",
        "Change the options that the message names.",
    ),
    "invalid-image": ("The image can't be used.", "Send another image."),
    "unsupported-image": ("The format is not read.", "Convert it to DICOM, PNG, TIFF, JPEG or PGM."),
    "unsuitable-kind": (
        "The DICOM object is not a mammogram for presentation.",
        "Send the For Presentation image of a 2D view.",
    ),
    "undecodable-image": ("The file is truncated or corrupt.", "Export or transfer it again."),
    "image-too-large": ("The image exceeds a limit.", "Send a smaller one, or raise MAMMO_MAX_IMAGE_MB."),
    "image-too-small": ("It has far fewer pixels than a mammogram.", "Send the film itself, not a thumbnail."),
    "not-a-mammogram": (
        "No breast was found in the image.",
        "Check the image; the gate's score comes with the answer.",
    ),
    "store": ("The object store failed.", "Read the message."),
    "object-not-found": ("There is no such object.", "Check the name; `mammo resume RUN --verify` makes it again."),
    "precondition-failed": ("Another process wrote the object first.", "Repeat the command."),
    "store-unavailable": ("The store does not answer, or throttles.", "Repeat later; see the runbook store-errors."),
    "store-misconfigured": (
        "The store refuses access, or there is no such bucket.",
        "Correct the setting that the message names.",
    ),
    "store-unsupported": (
        "The server lacks an operation that is needed, such as conditional writes.",
        "Use a server that has it.",
    ),
    "queue-unavailable": ("The broker does not answer.", "Repeat later; see the runbook broker-away."),
    "disk-unavailable": (
        "A disk of the machine is full, read-only or lost.",
        "Free some space on it, or replace it; units wait, and are not counted.",
    ),
    "service-unavailable": (
        "An archive, destination or the inference service does not answer.",
        "Nothing: it is tried again.",
    ),
    "queue-misconfigured": ("The broker refuses access, or would lose messages.", "Correct what the message names."),
    "job-interrupted": ("A long job was stopped; its checkpoint is kept.", "Nothing: the next worker continues it."),
    "run": ("The run has failed.", "Read `mammo status RUN`, then `mammo retry RUN`."),
    "run-not-found": ("There is no such run.", "List the runs with `mammo status`."),
    "access": ("API keys can't be used as they are stored or given.", "Read the message."),
    "key-unknown": ("There is no key of this id.", "List the keys with `mammo keys list`."),
    "not-authenticated": ("No valid API key came with the request.", "Send `Authorization: Bearer KEY`."),
    "not-allowed": ("The key lacks the scope.", "Use another key, or create one with the scope."),
    "limit-reached": ("The key's limit of requests is reached.", "Wait the seconds of `Retry-After`."),
    "weights-unavailable": (
        "Pretrained weights can't be fetched.",
        "Give a file with `--weights`, or train `--from-scratch`.",
    ),
    "model": ("The registry of models failed.", "Read the message."),
    "model-not-found": ("There is no such model or version.", "List them with `mammo models list`."),
    "engine-unavailable": (
        "The engine that is set can't run the network on this CPU.",
        "Set MAMMO_SERVE_ENGINE to auto.",
    ),
    "model-corrupt": ("A model's file has another digest than its card says.", "Promote or publish another version."),
    "model-not-ready": ("No model is loaded yet.", "Repeat later; promote a version if there is none."),
    "promotion-refused": (
        "The gate found the version no better, or not comparable.",
        "Read the reason; `--force` overrides it.",
    ),
    "films-changed": (
        "The films of a run's data set have changed, or its jobs were trained on other films.",
        "Start a new run with `mammo run`.",
    ),
    "object-unreadable": (
        "A record in the store is empty, truncated or damaged, or has another layout.",
        "`mammo doctor` lists it, with the consequence and the remedy.",
    ),
    "object-of-later-release": ("Only a later release can read a record of the store.", "Deploy that release."),
    "api": (
        "The inference service refused the request, or does not answer.",
        "Read its problem document; check `--url`.",
    ),
    "lease-held": ("Another worker processes the unit.", "Nothing: it is tried again."),
    "superseded": ("Another worker has taken the job over.", "Nothing: the other worker finishes it."),
    "worker-lost": (
        "The worker ended at this film or job at every attempt.",
        "Look at memory and log of the worker, then `mammo retry RUN`.",
    ),
    "reason-unstorable": ("The text of an error could not be stored.", "Read the log of the worker."),
    "batch-ended": ("The batch is finished or cancelled.", "Create another batch."),
    "batch-not-found": ("There is no such batch of this key's owner.", "List them with `mammo batch list`."),
    "idempotency-conflict": (
        "The Idempotency-Key was used before with another request.",
        "Use a new key for each new request.",
    ),
    "already-running": ("Another demo uses the folder.", "Stop it first."),
    "folder-unusable": ("The folder of a demo can't be used.", "Do what the message says."),
    "port-taken": ("The port of a demo's service can't be had.", "Choose another with `--port`."),
    "broker-data-unreadable": (
        "The broker's data are damaged, or of another server.",
        "Do what the message says.",
    ),
    "process-died": ("A process of the demo ended by itself.", "Read the log that the message names."),
    "image-unreadable": ("The store refuses this object of a batch.", "Check the permissions of the object."),
    "no-keys": (
        "The service would listen on a public address without any API key.",
        "Create a key with `mammo keys create`.",
    ),
    "overloaded": ("Too many requests are waiting.", "Wait the seconds of `Retry-After`."),
    "no-room": ("The memory for request bodies is full.", "Wait the seconds of `Retry-After`."),
    "deadline-passed": (
        "The request waited longer than its sender allows.",
        "Allow more time, or send fewer requests at once.",
    ),
    "client-gone": ("The client closed the connection.", "Nothing: no answer was computed."),
    "training-process-lost": ("A process of a training job died.", "Look at the memory and log of the worker."),
    "no-room-for-array": (
        "The temporary folder of a training worker has no room for the network inputs.",
        "Set TMPDIR to a folder with more room, or free some.",
    ),
    "too-few-circles": ("A class has no outlined lesion to learn from.", "Train without the head's regression."),
    "training-diverged": ("The loss is not a finite number any more.", "Lower the learning rate of the recipe."),
    "result-rejected": ("A destination refused a result for good.", "Read its status in `mammo gateway status`."),
    "malformed-multipart": (
        "The body is not a whole multipart/related.",
        "Send it as DICOM PS3.18 describes.",
    ),
    "exam-fault": ("The gateway failed on an exam.", "Report the line that the message names."),
    "prediction-failed": ("The inference service failed on an exam.", "Read the log of the inference service."),
    "checkpoint-unusable": ("A checkpoint is damaged or of another job.", "Nothing: the job starts again."),
}
"""Code -> what it means and what to do."""


def errors_page() -> str:
    """List every error code with its status, whether a retry helps, and what to do."""
    rows = [
        (f"`{error.code}`", f"`{error.__name__}`", str(error.http_status), retry(error), *ADVICE[error.code])
        for error in errors()
    ]
    return page(
        "Errors",
        "Every error that is raised on purpose has a code, which appears in problem documents, in the reasons that "
        "the store keeps, and in metrics. Its message ends with what to do. The status is that of an HTTP response; "
        "errors that no request can cause have one too. `shared/errors.py` draws the tree of the classes.",
        table(("code", "class", "status", "retry helps", "meaning", "what to do"), rows),
    )


def retry(error: type[MammoError]) -> str:
    """Return whether the same call stands a chance later."""
    return "yes" if error.retryable else "no"


def errors() -> Iterator[type[MammoError]]:
    """Yield each class with a code of its own, parents first."""
    for module in defining_modules():
        importlib.import_module(module)
    found, waiting = [], [MammoError]
    while waiting:
        error = waiting.pop(0)
        waiting += sorted(error.__subclasses__(), key=lambda each: each.code)
        if "code" in vars(error) and error.__module__.startswith(("shared.", "services.")):
            found.append(error)
    yield from found


def defining_modules() -> Iterator[str]:
    """Yield the modules that give an error class a code."""
    for file in sorted([*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")]):
        if re.search(r'^    code(: ClassVar\[str\])? = "', file.read_text(), re.MULTILINE):
            yield ".".join(file.relative_to(ROOT).with_suffix("").parts)
