"""The training worker: training jobs, the evaluation of a run, and publishing and promoting what came out of it."""

import json
import os
import time

import torch

from services.train.core import fit, predict
from services.train.data import load_images
from services.train.evaluate import best_fold, evaluate_run
from services.train.jobs import MODEL, PROGRESS, RESULT, Job, JobResult, parse_job, read_results
from services.train.publish import model_files, network_to_bytes
from services.train.report import render
from shared import metrics
from shared.datasets.manifest import CLASSES
from shared.datasets.splits import paper_split, patient_split
from shared.errors import PromotionRefused
from shared.imaging.preprocess import Preprocessing
from shared.imaging.segment import SEGMENTATION_VERSION
from shared.modelling.card import ModelCard, PreprocessingCard
from shared.modelling.evaluation import EpochRecord, Evaluation, FoldHistory, WeightsReport
from shared.modelling.metrics import Predictions
from shared.modelling.networks import MammogramNetwork, build, parameter_count
from shared.modelling.recipes import Network, as_network
from shared.modelling.weights import download, from_file, load_into
from shared.queue.pipeline import JobProgress
from shared.queue.plan import SCRATCH, TORCHVISION, Plan
from shared.queue.worker import make_app, unit_task
from shared.settings import settings
from shared.store import keys, registry
from shared.store.ingest import read_dataset
from shared.store.objects import ObjectStore

app = make_app(settings())
_EXPLAINABLE: tuple[Network, ...] = ("modified_cnn", "resnet50")
_MIAS_TERMS = "mini-MIAS (Suckling et al. 1994): research only; not to be rented, leased or sold; cite it."
_SYNTHETIC_TERMS = "Generated films; no person's data."


@unit_task(app, "train")
def train_fold(store: ObjectStore, plan: Plan, unit: str) -> None:
    """Trains one network on one split, stores what its held-out films were given, and its weights if it may be used."""
    job, began = parse_job(unit), time.monotonic()
    recipe, device = plan.training[job.network], _device()
    images = load_images(store, plan.dataset, plan.augmentation.segmented_id, Preprocessing(size=recipe.input_size))
    if job.protocol == "patient":
        split = patient_split(images.variants, plan.folds, job.fold, plan.seed)
    else:
        split = paper_split(images.variants, plan.seed)
    torch.manual_seed(plan.seed + job.fold)
    network = build(job.network)
    weights = _load_weights(store, network, job.network, plan.weights[job.network])

    def report_progress(epoch: EpochRecord) -> None:
        _show(store, plan, job, epoch, recipe.epochs)

    fitted = fit(
        network,
        recipe,
        images.examples(split.train),
        images.examples(split.validation),
        pretrained=bool(weights.loaded),
        seed=plan.seed + job.fold,
        device=device,
        on_epoch=report_progress,
    )
    probabilities = predict(fitted.network, images.inputs[split.test], recipe.batch_size, device)
    best = fitted.epochs[fitted.best_epoch - 1]
    history = FoldHistory(
        fold=job.fold,
        epochs=fitted.epochs,
        best_epoch=fitted.best_epoch,
        train_images=len(split.train),
        validation_films=len(split.validation),
        test_films=len(split.test),
        seconds=time.monotonic() - began,
    )
    held_out = [images.variants[index] for index in split.test]
    result = JobResult(
        job=job,
        history=history,
        predictions=Predictions(
            films=tuple(image.id if job.protocol == "paper" else image.film for image in held_out),
            patients=tuple(image.patient for image in held_out),
            labels=tuple(image.label for image in held_out),
            probabilities=tuple(tuple(row) for row in probabilities.tolist()),
            folds=(job.fold,) * len(held_out),
        ),
        weights=weights,
        parameters=parameter_count(fitted.network),
        input_size=recipe.input_size,
        validation_auc=fitted.best_auc,
        validation_loss=best.validation_loss,
    )
    if job.protocol == "patient":
        store.put(keys.fold_file(plan.run, unit, MODEL), network_to_bytes(fitted.network))
    store.put(keys.fold_file(plan.run, unit, RESULT), result.model_dump_json().encode())


@unit_task(app, "evaluate")
def evaluate(store: ObjectStore, plan: Plan, _unit: str) -> None:
    """Stores the run's report; its page, which says that the stage is done, last."""
    evaluation = evaluate_run(plan, read_dataset(store, plan.dataset), read_results(store, plan))
    files = render(evaluation)
    for name in sorted(files, key=lambda name: name == "index.html"):
        store.put(keys.report_file(plan.run, name), files[name])


@unit_task(app, "publish")
def publish(store: ObjectStore, plan: Plan, unit: str) -> None:
    """Publishes the network of the fold that did best on its validation films; the run gives the version its name."""
    network = as_network(unit)
    results = [r for r in read_results(store, plan) if (r.job.network, r.job.protocol) == (network, "patient")]
    best = best_fold(results)
    figures = store.get(keys.report_file(plan.run, "metrics.json"))
    evaluation = Evaluation.model_validate_json(figures)
    judged = next(r for r in evaluation.results if (r.network, r.protocol) == (network, "patient"))
    weights = store.get(keys.fold_file(plan.run, best.job.name, MODEL))
    files = model_files(network, weights, best.input_size, plan.seed)
    files |= {"report.html": store.get(keys.report_file(plan.run, "index.html")), "metrics.json": figures}
    card = ModelCard(
        network=network,
        version=plan.run,
        created=evaluation.created,
        code_version=plan.code_version,
        run=plan.run,
        dataset=plan.dataset,
        synthetic=plan.synthetic,
        protocol="patient",
        fold=best.job.fold,
        held_out_patients=tuple(sorted(set(best.predictions.patients))),
        seed=plan.seed,
        classes=CLASSES,
        preprocessing=PreprocessingCard(size=best.input_size, segmentation=SEGMENTATION_VERSION),
        recipe=plan.training[network],
        augmentation=plan.augmentation.id,
        weights=best.weights,
        parameters=best.parameters,
        metrics=judged.metrics,
        explainable=network in _EXPLAINABLE,
        data_terms=_SYNTHETIC_TERMS if plan.synthetic else _MIAS_TERMS,
        files={},
    )
    registry.publish(store, card, files)
    _mark(store, keys.published_mark(plan.run, network), {"network": network, "version": card.version})
    for result in results:
        store.delete(keys.fold_file(plan.run, result.job.name, MODEL))


@unit_task(app, "promote")
def promote(store: ObjectStore, plan: Plan, network: str) -> None:
    """Asks the gate for `production`; a refusal ends the run as well, and the reason is kept."""
    try:
        move = registry.promote(store, network, plan.run, by=f"run {plan.run}", why="the run was to promote it")
        outcome = {"promoted": True, "version": move.version, "previous": move.previous}
    except PromotionRefused as refusal:
        outcome = {"promoted": False, "version": plan.run, "reason": str(refusal)}
    _mark(store, keys.promoted_mark(plan.run, network), outcome)


def _load_weights(store: ObjectStore, network: MammogramNetwork, kind: Network, choice: str) -> WeightsReport:
    if choice == SCRATCH:
        layers = {name.rpartition(".")[0] for name, _ in network.named_parameters()}
        return WeightsReport(source="from scratch", loaded=(), missing=tuple(sorted(layers)), unexpected=())
    if choice == TORCHVISION:
        tensors, source = download(kind)
    else:
        name = choice.rpartition("/")[2]
        tensors, source = from_file(store.get(choice), name), f"file {name}"
    return load_into(network, kind, tensors, source)


def _device() -> torch.device:
    """A GPU where there is one; on the CPU as many threads as the settings say."""
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(settings().cpu_threads or os.cpu_count() or 1)
    return torch.device("cpu")


def _show(store: ObjectStore, plan: Plan, job: Job, epoch: EpochRecord, epochs: int) -> None:
    progress = JobProgress(
        epoch=epoch.epoch,
        epochs=epochs,
        images_per_second=epoch.images_per_second,
        train_loss=epoch.train_loss,
        validation_loss=epoch.validation_loss,
    )
    store.put(keys.fold_file(plan.run, job.name, PROGRESS), progress.model_dump_json().encode())
    metrics.TRAIN_EPOCH.labels(job.network).set(epoch.epoch)
    metrics.TRAIN_LOSS.labels(job.network).set(epoch.train_loss)
    metrics.TRAIN_RATE.labels(job.network).set(epoch.images_per_second)


def _mark(store: ObjectStore, key: str, content: dict[str, object]) -> None:
    store.put(key, json.dumps(content).encode())
