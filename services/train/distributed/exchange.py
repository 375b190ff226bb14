"""The folder through which a training worker and its processes exchange the request, its data and the results.

Files are JSON, NumPy arrays and safetensors, never pickles, and appear only when complete. Arrays that are on disk
already are hard-linked, so that all processes map the same pages.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field
from safetensors.torch import load_file, save_file

from services.train.data.examples import Examples, StoredInputs
from services.train.fitting.checkpoint import Checkpoint, from_bytes, to_bytes
from services.train.fitting.fit import FitResult, TrainingDiverged
from services.train.fitting.serialise import Tensors, on_cpu
from shared.domain.records import Record
from shared.errors import JobInterrupted, MammoError
from shared.files import write_whole
from shared.modelling.evaluation import EpochRecord
from shared.modelling.network_table import Network
from shared.modelling.networks import MammogramNetwork
from shared.modelling.recipes import TrainingFormat, TrainingRecipe
from shared.process_identity import ProcessIdentity

_IDENTITY = "exchange"
_ERRORS: dict[str, type[MammoError]] = {error.code: error for error in (TrainingDiverged, JobInterrupted)}


class TrainingRequest(Record):
    """The arguments of `fit`, and the set-up of each process."""

    network: Network
    recipe: TrainingRecipe
    pretrained: bool
    seed: int
    owner: ProcessIdentity
    threads: int = Field(ge=1, description="of each process, on a CPU")
    deterministic: bool
    compiled: bool


class _Summary(Record):
    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    best_auc: float | None
    number_format: TrainingFormat


class _ErrorRecord(Record):
    code: str
    message: str


@dataclass(frozen=True)
class ExchangeFolder:
    """The exchange of one training."""

    folder: Path

    # ---- from the worker to its processes

    def put_request(self, request: TrainingRequest, weights: Tensors, train: Examples, validation: Examples) -> None:
        """Write everything but the checkpoint.

        Raises:
            OSError: there is no space for an array that is in memory.
        """
        save_file(on_cpu(weights), self.folder / "weights")
        for name, examples in (("train", train), ("validation", validation)):
            _link_or_save(examples.pool, self.folder / f"{name}.pool.npy")
            np.save(self.folder / f"{name}.labels.npy", examples.labels)
            np.save(self.folder / f"{name}.rows.npy", _rows(examples))
            if examples.place_labels is not None:
                np.save(self.folder / f"{name}.places.npy", examples.place_labels)
        self._put("request.json", request.model_dump_json().encode())

    def put_start(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint to resume from."""
        self._put("start", to_bytes(checkpoint, _IDENTITY))

    def request_stop(self) -> None:
        """Make the processes stop after their current batch."""
        (self.folder / "stop").touch()

    def request(self) -> TrainingRequest:
        """Read the request."""
        return TrainingRequest.model_validate_json((self.folder / "request.json").read_bytes())

    def weights(self) -> Tensors:
        """Read the initial weights."""
        return load_file(self.folder / "weights")

    def examples(self, name: str) -> Examples:
        """Map the examples `train` or `validation`."""
        pool = np.load(self.folder / f"{name}.pool.npy", mmap_mode="r", allow_pickle=False)
        labels, rows = (np.load(self.folder / f"{name}.{part}.npy", allow_pickle=False) for part in ("labels", "rows"))
        places = self.folder / f"{name}.places.npy"
        place_labels = np.load(places, allow_pickle=False) if places.exists() else None
        return Examples(np.asarray(pool), labels, rows, place_labels)

    def start(self) -> Checkpoint | None:
        """Read the checkpoint to resume from; None if training starts from the initial weights."""
        file = self.folder / "start"
        return from_bytes(file.read_bytes(), _IDENTITY) if file.exists() else None

    def should_stop(self, owner: ProcessIdentity) -> bool:
        """Return True if a stop was requested, or if the worker is dead or has deleted the folder."""
        return (self.folder / "stop").exists() or not self.folder.exists() or owner.process is None

    # ---- from the processes to their worker

    def put_epoch(self, record: EpochRecord) -> None:
        """Write the record of a finished epoch."""
        self._put(f"epoch-{record.epoch:06d}.json", record.model_dump_json().encode())

    def put_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, in place of one that was not taken yet."""
        self._put("checkpoint", to_bytes(checkpoint, _IDENTITY))

    def put_error(self, error: MammoError) -> None:
        """Write the error that ended training."""
        self._put("error.json", _ErrorRecord(code=error.code, message=str(error)).model_dump_json().encode())

    def put_result(self, result: FitResult) -> None:
        """Write the trained weights and the history."""
        save_file(on_cpu(result.network.state_dict()), self.folder / "trained")
        summary = _Summary(
            epochs=result.epochs,
            best_epoch=result.best_epoch,
            best_auc=result.best_auc,
            number_format=result.number_format,
        )
        self._put("result.json", summary.model_dump_json().encode())

    def take_epochs(self) -> list[EpochRecord]:
        """Read and delete the epoch records, in their order."""
        records = []
        for file in sorted(self.folder.glob("epoch-*.json")):
            records.append(EpochRecord.model_validate_json(file.read_bytes()))
            file.unlink()
        return records

    def take_checkpoint(self) -> Checkpoint | None:
        """Read the latest checkpoint; None if it was taken already."""
        taken = self.folder / "taken"
        try:
            (self.folder / "checkpoint").replace(taken)
        except FileNotFoundError:
            return None
        return from_bytes(taken.read_bytes(), _IDENTITY)

    def raise_error(self) -> None:
        """Raise the error that ended training, if there is one.

        Raises:
            TrainingDiverged, JobInterrupted: as `fit`.
            MammoError: any other error of this project.
        """
        file = self.folder / "error.json"
        if file.exists():
            record = _ErrorRecord.model_validate_json(file.read_bytes())
            raise _ERRORS.get(record.code, MammoError)(record.message)

    def result(self, network: MammogramNetwork) -> FitResult | None:
        """Load the trained weights into `network`; None if there is no result."""
        file = self.folder / "result.json"
        if not file.exists():
            return None
        network.load_state_dict(load_file(self.folder / "trained"))
        summary = _Summary.model_validate_json(file.read_bytes())
        return FitResult(network, summary.epochs, summary.best_epoch, summary.best_auc, summary.number_format)

    def _put(self, name: str, content: bytes) -> None:
        write_whole(self.folder / name, content)


def _rows(examples: Examples) -> npt.NDArray[np.intp]:
    return np.arange(len(examples.labels)) if examples.rows is None else examples.rows


def _link_or_save(array: StoredInputs, target: Path) -> None:
    mapped: object = array
    while isinstance(mapped, np.ndarray) and not isinstance(mapped, np.memmap):
        mapped = mapped.base
    if isinstance(mapped, np.memmap) and mapped.shape == array.shape and mapped.filename:
        try:
            return os.link(mapped.filename, target)
        except OSError:  # another file system, or the file was deleted from the cache
            pass
    return np.save(target, array)
