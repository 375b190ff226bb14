"""The folder between a training worker and the processes that train for it: the order, its data, and what comes back.

Files are JSON, NumPy arrays and safetensors, never pickles, and appear whole. Arrays that lie on the disk already are
linked, so that all processes map the same pages.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
from pydantic import Field
from safetensors.torch import load_file, save_file

from services.train.data.device import Inputs
from services.train.data.examples import Examples
from services.train.fitting.checkpoint import Checkpoint, Tensors, from_bytes, to_bytes
from services.train.fitting.fit import Fitted, TrainingDiverged
from shared.domain.records import Record
from shared.errors import JobInterrupted, MammoError
from shared.modelling.evaluation import EpochRecord
from shared.modelling.network_table import Network
from shared.modelling.networks import MammogramNetwork
from shared.modelling.recipes import TrainingRecipe

_IDENTITY = "mailbox"
_PASSED_ON: dict[str, type[MammoError]] = {error.code: error for error in (TrainingDiverged, JobInterrupted)}


class Owner(Record):
    """The worker: its process id and, as ids are reused, when it was born."""

    pid: int
    born: float

    @classmethod
    def this(cls) -> "Owner":
        return cls(pid=os.getpid(), born=psutil.Process().create_time())

    @property
    def lives(self) -> bool:
        try:
            return psutil.Process(self.pid).create_time() == self.born
        except psutil.NoSuchProcess:
            return False


class Order(Record):
    """What to train, as `fit` takes it, and how each process is set up."""

    network: Network
    recipe: TrainingRecipe
    pretrained: bool
    seed: int
    owner: Owner
    threads: int = Field(ge=1, description="of each process, on a CPU")
    deterministic: bool
    compiled: bool


class _End(Record):
    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    best_auc: float | None


class _Problem(Record):
    code: str
    message: str


@dataclass(frozen=True)
class Mailbox:
    folder: Path

    # ---- from the worker to its processes

    def send(self, order: Order, weights: Tensors, train: Examples, validation: Examples) -> None:
        """Everything but the checkpoint; raises OSError where there is no room for an array that lies in memory."""
        save_file({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, self.folder / "weights")
        for name, examples in (("train", train), ("validation", validation)):
            _link_or_save(examples.pool, self.folder / f"{name}.pool.npy")
            np.save(self.folder / f"{name}.labels.npy", examples.labels)
            np.save(self.folder / f"{name}.rows.npy", _rows(examples))
            if examples.places is not None:
                np.save(self.folder / f"{name}.places.npy", examples.places)
        self._put("order.json", order.model_dump_json().encode())

    def send_start(self, checkpoint: Checkpoint) -> None:
        self._put("start", to_bytes(checkpoint, _IDENTITY))

    def ask_to_stop(self) -> None:
        (self.folder / "stop").touch()

    def order(self) -> Order:
        return Order.model_validate_json((self.folder / "order.json").read_bytes())

    def weights(self) -> Tensors:
        return load_file(self.folder / "weights")

    def examples(self, name: str) -> Examples:
        pool = np.load(self.folder / f"{name}.pool.npy", mmap_mode="r", allow_pickle=False)
        labels, rows = (np.load(self.folder / f"{name}.{part}.npy", allow_pickle=False) for part in ("labels", "rows"))
        places = self.folder / f"{name}.places.npy"
        return Examples(
            np.asarray(pool), labels, rows, np.load(places, allow_pickle=False) if places.exists() else None
        )

    def start(self) -> Checkpoint | None:
        file = self.folder / "start"
        return from_bytes(file.read_bytes(), _IDENTITY) if file.exists() else None

    def is_to_stop(self, owner: Owner) -> bool:
        """Also when the worker is gone, or has given the folder up."""
        return (self.folder / "stop").exists() or not self.folder.exists() or not owner.lives

    # ---- from the processes to their worker

    def tell_epoch(self, record: EpochRecord) -> None:
        self._put(f"epoch-{record.epoch:06d}.json", record.model_dump_json().encode())

    def hand_over(self, checkpoint: Checkpoint) -> None:
        """Replaces one that was not collected."""
        self._put("checkpoint", to_bytes(checkpoint, _IDENTITY))

    def tell_problem(self, error: MammoError) -> None:
        self._put("problem.json", _Problem(code=error.code, message=str(error)).model_dump_json().encode())

    def deliver(self, fitted: Fitted) -> None:
        save_file({n: t.cpu().contiguous() for n, t in fitted.network.state_dict().items()}, self.folder / "fitted")
        end = _End(epochs=fitted.epochs, best_epoch=fitted.best_epoch, best_auc=fitted.best_auc)
        self._put("end.json", end.model_dump_json().encode())

    def epochs(self) -> list[EpochRecord]:
        """Those that were not collected yet, in their order."""
        found = []
        for file in sorted(self.folder.glob("epoch-*.json")):
            found.append(EpochRecord.model_validate_json(file.read_bytes()))
            file.unlink()
        return found

    def checkpoint(self) -> Checkpoint | None:
        """The last one, unless it was collected."""
        taken = self.folder / "taken"
        try:
            (self.folder / "checkpoint").replace(taken)
        except FileNotFoundError:
            return None
        return from_bytes(taken.read_bytes(), _IDENTITY)

    def raise_problem(self) -> None:
        """Raises what a process ended with: TrainingDiverged, JobInterrupted, or MammoError for another one of ours."""
        file = self.folder / "problem.json"
        if file.exists():
            problem = _Problem.model_validate_json(file.read_bytes())
            raise _PASSED_ON.get(problem.code, MammoError)(problem.message)

    def fitted(self, network: MammogramNetwork) -> Fitted | None:
        """What was delivered, in `network`; None while nothing was."""
        file = self.folder / "end.json"
        if not file.exists():
            return None
        network.load_state_dict(load_file(self.folder / "fitted"))
        end = _End.model_validate_json(file.read_bytes())
        return Fitted(network, end.epochs, end.best_epoch, end.best_auc)

    def _put(self, name: str, content: bytes) -> None:
        part = self.folder / f".{name}.{os.getpid()}"
        part.write_bytes(content)
        part.replace(self.folder / name)


def _rows(examples: Examples) -> npt.NDArray[np.intp]:
    return np.arange(len(examples.labels)) if examples.rows is None else examples.rows


def _link_or_save(array: Inputs, target: Path) -> None:
    mapped: object = array
    while isinstance(mapped, np.ndarray) and not isinstance(mapped, np.memmap):
        mapped = mapped.base
    if isinstance(mapped, np.memmap) and mapped.shape == array.shape and mapped.filename:
        try:
            return os.link(mapped.filename, target)
        except OSError:  # another disk, or the file was cleared away since
            pass
    return np.save(target, array)
