"""The command `mammo demo`: the whole pipeline and a prediction on one machine.

All parts are the real ones: broker, workers, store and inference service.
"""

import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from shared.cli.console import console, evaluation_table, read_evaluation, reporting, show_exam, weights_line
from shared.cli.demo_pacs import show_archive
from shared.cli.pretrained import choose_weights, fetch_imagenet
from shared.cli.progress import follow
from shared.client import FilmUpload, InferenceClient
from shared.datasets.entries import FilmSource
from shared.datasets.sources import open_source
from shared.datasets.synthetic_exams import exposures, write_exams
from shared.domain.films import Dataset, Film, Manifest
from shared.domain.records import CLASSES, Label
from shared.errors import InputError
from shared.local.stack import Stack, running_stack, wait_for
from shared.modelling.card import ModelCard
from shared.modelling.network_table import NETWORKS, TRANSFER_NETWORKS, Network
from shared.modelling.profiles import profile
from shared.modelling.recipes import PROTOCOLS, Strided
from shared.queue.broker import Broker
from shared.runs import pipeline
from shared.runs.plan import TORCHVISION, Plan, RunOptions, make_plan
from shared.store import layout, models
from shared.store.ingest import film_key, ingest
from shared.store.interface import ObjectStore
from shared.store.objects import open_store

_SEED = 7


@dataclass(frozen=True)
class DemoRecipe:
    """The options that choose what the demo trains: file of ImageNet weights with its strides, and profile."""

    weights: Path | None
    strided: Strided | None
    profile: str | None

    def choice(self, *, synthetic: bool, pretrained: bool) -> tuple[str, tuple[Network, ...]]:
        """Return profile and networks: by default the best honest recipe that takes minutes on two cores.

        On real films that is `places`, which needs ImageNet weights of ResNet-50 and is for that network. Without them
        every recipe is at chance, and the smallest one is taken.
        """
        if self.profile:
            return self.profile, NETWORKS
        return ("places", ("resnet50",)) if pretrained and not synthetic else ("demo", NETWORKS)


def run_demo(
    folder: Path,
    mias: Path | None,
    recipe: DemoRecipe,
    *,
    patients: int,
    once: bool,
    port: int,
    pacs: bool = False,
) -> None:
    """Run the pipeline below `folder` and serve until Ctrl-C, unless `once`.

    Raises:
        MammoError: an input is invalid or a step failed; all processes are stopped first.
    """
    folder = folder.resolve()
    console.print("[bold]Mammostack demo[/]: films -> augment -> segment -> train -> evaluate -> promote -> predict")
    console.print("For research only; not a medical device.")
    with ending_on_signals() as interrupted:
        source = open_source(mias) if mias else None
        with _stack_of_demo(folder, port) as stack:
            console.print(f"broker, workers and the inference service are up; their logs: {folder / 'logs'}")

            def check() -> None:
                interrupted()
                stack.processes.check()

            source = source or _synthetic_films(folder / "films", patients)
            _main_job(stack, source, recipe, check)
            if pacs:
                show_archive(stack, folder, check)
            if not once:
                console.print(f"\n[bold]Serving on {stack.url}[/] until Ctrl-C. Try:")
                console.print(f"  the page: {stack.url}/#key={stack.key}")
                console.print(f"  export MAMMO_API_KEY={stack.key}")
                console.print(f"  ./mammo predict FILE --url {stack.url}")
                console.print(
                    f'  curl -H "Authorization: Bearer $MAMMO_API_KEY" --data-binary @FILE {stack.url}/v1/predictions'
                )
                _serve_until_interrupted(check)
    console.print("Stopped; nothing is left running.")


def _serve_until_interrupted(check: Callable[[], None]) -> None:
    try:
        while True:
            check()
            time.sleep(1)
    except KeyboardInterrupt:
        return


def _main_job(stack: Stack, source: FilmSource, recipe: DemoRecipe, check: Callable[[], None]) -> None:
    store = open_store(stack.settings.store)
    with reporting() as report:
        ingested = ingest(store, source, "synthetic" if source.synthetic else "mias", report)
    manifest = ingested.manifest
    films = "SYNTHETIC films" if manifest.synthetic else "films"
    counts = Counter(film.label.value for film in manifest.films)
    exams = len({(film.patient, film.exam) for film in manifest.films})
    console.print(
        f"{len(manifest.films)} {films} of {exams} exams: " + ", ".join(f"{counts[label]} {label}" for label in Label)
    )

    plan = _plan(store, ingested.dataset, recipe)
    console.print(f"run {plan.run}, profile {plan.profile}")
    pipeline.start(store, Broker.open(stack.settings.broker), plan)
    follow(store, plan, check)

    client = InferenceClient(stack.url, stack.key)
    wait_for("loading the promoted model", client.ready, stack.processes)
    exam = _unseen_exam(manifest, models.read_card(store, "resnet50", client.model().version))
    prediction = client.predict_exam([_upload(film, store.get(film_key(ingested.dataset, film))) for film in exam])
    console.print()
    evaluation = read_evaluation(store, plan.run)
    console.print(evaluation_table(evaluation))
    console.print(weights_line(evaluation))
    console.print(
        "paper (leaky) augments before splitting: rotated copies of a film are in both training and test set."
    )
    console.print("Its figures are inflated, and such a model is never promoted; patient is the honest protocol.\n")
    kind = "synthetic exam" if manifest.synthetic else "exam"
    labels = ", ".join(f"{side} breast {label}" for side, label in _truth(exam).items())
    console.print(f"{kind} of patient {exam[0].patient}, unseen in training, in truth: {labels}")
    show_exam(prediction)
    console.print(f"\nReport with figures: {store.locate(layout.report_file(plan.run, 'index.html'))}")


def _plan(store: ObjectStore, dataset: Dataset, recipe: DemoRecipe) -> Plan:
    chosen = choose_weights(store, [f"resnet50={recipe.weights}"] if recipe.weights else [])
    with console.status("checking for ImageNet weights"):
        reasons = fetch_imagenet([network for network in TRANSFER_NETWORKS if network not in chosen])
    for network, reason in reasons.items():
        if reason is None:
            chosen[network] = TORCHVISION
        else:
            console.print(
                f"[yellow]{network} is trained FROM SCRATCH: its ImageNet weights are unavailable ({reason})[/]"
            )
    name, networks = recipe.choice(synthetic=dataset.synthetic, pretrained="resnet50" in chosen)
    if not dataset.synthetic and "resnet50" not in chosen:
        console.print("[yellow]without ImageNet weights no recipe is better than chance on MIAS; give WEIGHTS=FILE[/]")
    chosen_profile = profile(name) if recipe.strided is None else profile(name).strided(recipe.strided)
    return make_plan(
        dataset,
        chosen_profile,
        RunOptions(networks=networks, protocols=PROTOCOLS, weights=chosen, promote=("resnet50",), seed=_SEED),
    )


def _unseen_exam(manifest: Manifest, card: ModelCard) -> list[Film]:
    """Choose an exam of a held-out patient, with a malignant film if there is one."""
    unseen = [film for film in manifest.films if film.patient in card.held_out_patients]
    worst = max(unseen, key=lambda film: film.label is Label.MALIGNANT)
    return [film for film in unseen if (film.patient, film.exam) == (worst.patient, worst.exam)]


def _truth(exam: list[Film]) -> dict[str, Label]:
    """Return the worst label of each breast."""
    return {
        side: max((film.label for film in exam if film.side == side), key=CLASSES.index)
        for side in sorted({film.side for film in exam}, reverse=True)
    }


def _upload(film: Film, data: bytes) -> FilmUpload:
    return FilmUpload(data, name=film.id, view=film.view, side="L" if film.side == "left" else "R")


def _synthetic_films(folder: Path, patients: int) -> FilmSource:
    console.print("No data set was given, so films are generated. All results below are from SYNTHETIC films.")
    with reporting() as report:
        films = len(list(exposures(patients)))
        write_exams(folder, patients, seed=_SEED, progress=lambda done: report("generating films", done, films))
    return open_source(folder)


@contextmanager
def _stack_of_demo(folder: Path, port: int) -> Iterator[Stack]:
    """Start the stack with an empty store and an empty broker.

    What an earlier demo left is removed once its processes are known to have ended; the broker's port may belong to
    another server, whose data must not be read.
    """
    store, mark = folder / "store", folder / "made-by-mammo-demo"

    def empty() -> None:
        for path in (store, folder / "films", folder / "broker"):
            if path.exists() and not mark.exists():
                raise InputError(
                    f"{path} was not created by a demo, and the demo would delete it; choose another --folder"
                )
            shutil.rmtree(path, ignore_errors=True)
        mark.touch()

    # a demo that is stopped begins anew anyway, and AlexNet's checkpoints are a gigabyte each
    rarely = {"MAMMO_CHECKPOINT_EVERY_S": "60"}
    with running_stack(folder, str(store), port, rarely, prepare=empty) as stack:
        yield stack


@contextmanager
def ending_on_signals() -> Iterator[Callable[[], None]]:
    """Handle SIGTERM and SIGHUP like Ctrl-C, so that no process is left running.

    Yields a function that raises KeyboardInterrupt once a signal has been received. Long work calls it regularly,
    because Python drops an exception that a signal handler raises inside some callbacks, such as during an import.
    """
    received: list[int] = []

    def leave(sign: int, _frame: FrameType | None) -> NoReturn:
        received.append(sign)
        raise KeyboardInterrupt

    def check() -> None:
        if received:
            raise KeyboardInterrupt

    before = {sign: signal.signal(sign, leave) for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield check
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
