"""The files of a published model: safetensors weights, ONNX graphs, golden answers and head weights.

The ONNX graphs are for inference on the CPU, the head's weights for the class-activation map.
"""

import tempfile
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from services.train.data.inputs import load_images
from services.train.data.run_split import run_split
from services.train.evaluation.exams import films_by_id, published_comparison, published_exam_rule
from services.train.evaluation.operating_points import best_fold, pooled_predictions, published_points
from services.train.fitting.serialise import network_from_bytes
from services.train.jobs import JobResult, read_weights
from services.train.publishing.input_distribution import training_films, training_inputs
from services.train.publishing.number_formats import Judge
from services.train.publishing.quantise import CALIBRATION_FILMS, logits_of, quantised
from services.train.publishing.sample import drawn
from shared.domain.arrays import Float32Array
from shared.domain.records import CLASSES
from shared.errors import ModelCorrupt, ModelNotFound, PlanError
from shared.imaging.preprocess import Preprocessing
from shared.imaging.segmentation.segment import SEGMENTATION_VERSION
from shared.modelling.applicability import count_films
from shared.modelling.calibration import MIN_FILMS, OperatingPoint
from shared.modelling.card import (
    GOLDEN,
    GOLDEN_BFLOAT16,
    GOLDEN_INT8,
    HEAD,
    INT8,
    ONNX,
    WEIGHTS,
    Bfloat16Report,
    Int8Report,
    ModelCard,
    PreprocessingCard,
    limits_of,
)
from shared.modelling.evaluation import Evaluation
from shared.modelling.golden import check_golden, golden_answers, golden_difference, golden_inputs
from shared.modelling.network_table import NETWORK_TABLE, Network
from shared.modelling.networks import MammogramNetwork, head_layers
from shared.modelling.promotion import GOLDEN_TOLERANCE, PREDICTIONS
from shared.modelling.recipes import Protocol
from shared.runs.plan import Plan
from shared.runs.sources import planned_manifest
from shared.store import layout, models
from shared.store.documents import parse_document
from shared.store.interface import ObjectStore

_MOST_JUDGED = 256
"""Validation films by which a number format is judged, of all classes: their feature maps are in memory together."""


def publish_best(store: ObjectStore, plan: Plan, network: Network, results: Sequence[JobResult]) -> None:
    """Publish the network of the fold with the best validation scores, with its card."""
    store.discard_partial(layout.model(network, plan.run))
    best = best_fold(results)
    figures_key = layout.report_file(plan.run, "metrics.json")
    figures = store.get(figures_key)
    evaluation = parse_document(figures_key, figures, Evaluation)
    judged = next(r for r in evaluation.results if (r.network, r.protocol) == (network, published_protocol(plan)))
    leaky = next((r for r in evaluation.results if (r.network, r.protocol) == (network, "paper")), None)
    weights = read_weights(store, plan, best)
    dataset = planned_manifest(store, plan)
    known = films_by_id(dataset)
    films = training_films(store, plan, best)
    trained_on = count_films(films)
    files = model_files(network, weights, best.input_size, plan.seed)
    points = published_points(best, judged.operating_points)
    bfloat16, int8, more = _faster_formats(store, plan, best, files, points)
    files |= more
    files |= {"report.html": store.get(layout.report_file(plan.run, "index.html")), "metrics.json": figures}
    files |= {PREDICTIONS: pooled_predictions(results).model_dump_json().encode()}
    card = ModelCard(
        network=network,
        version=plan.run,
        created=evaluation.created,
        code_version=plan.code_version,
        code_sha256=evaluation.code_sha256,
        run=plan.run,
        dataset=plan.dataset,
        data_sha256=best.data_sha256,
        synthetic=plan.synthetic,
        protocol=published_protocol(plan),
        fold=best.job.fold,
        held_out_patients=tuple(sorted(set(best.predictions.patients))),
        seed=plan.seed,
        classes=CLASSES,
        preprocessing=PreprocessingCard(size=best.input_size, segmentation=SEGMENTATION_VERSION),
        recipe=plan.training[network],
        number_format=best.history.number_format,
        augmentation=plan.augmentation.id,
        weights=best.weights,
        parameters=best.parameters,
        metrics=judged.metrics,
        leaky_metrics=leaky.metrics if leaky else None,
        temperature=best.temperature,
        operating_points=points,
        comparison=published_comparison(best, judged.side_by_side, known),
        exam_rule=published_exam_rule(best, judged.levels, known),
        int8=int8,
        bfloat16=bfloat16,
        trained_on=trained_on,
        inputs=training_inputs(store, films),
        golden_difference=golden_difference(files[GOLDEN], lambda films: logits_of(files[ONNX], films)),
        explainable=NETWORK_TABLE[network].explainable,
        limits=limits_of(trained_on),
        data_terms=dataset.known_terms.text,
        terms=dataset.known_terms,
        labelling=dataset.labelling,
        files={},
    )
    models.publish(store, card, files)


def published_protocol(plan: Plan) -> Protocol:
    """Return the protocol whose models are published.

    Raises:
        PlanError: the run has the leaky protocol alone.
    """
    if plan.honest is None:
        raise PlanError(f"run {plan.run} has no protocol whose models may be published; add patient")
    return plan.honest


def model_files(kind: Network, weights: bytes, input_size: int, seed: int) -> dict[str, bytes]:
    """Create the files of a version, except card, report and predictions.

    Raises:
        ModelCorrupt: ONNX Runtime and torch disagree on the golden inputs.
    """
    network = network_from_bytes(kind, weights)
    inputs = golden_inputs(input_size, seed)
    with torch.inference_mode():
        golden = golden_answers(input_size, seed, network(torch.from_numpy(inputs))[0].numpy())
    graph = _export(network, inputs)
    check_golden(golden, lambda films: logits_of(graph, films), GOLDEN_TOLERANCE)
    files = {WEIGHTS: weights, ONNX: graph, GOLDEN: golden}
    return files | {HEAD: _head_weights(network)} if NETWORK_TABLE[kind].explainable else files


def _faster_formats(
    store: ObjectStore, plan: Plan, best: JobResult, files: dict[str, bytes], points: tuple[OperatingPoint, ...]
) -> tuple[Bfloat16Report | None, Int8Report | None, dict[str, bytes]]:
    """Judge bfloat16 and 8-bit integers on validation films; with the files of those that do well enough."""
    if len(best.validation.films) < MIN_FILMS:
        return None, None, {}
    images = load_images(store, plan, Preprocessing(size=best.input_size))
    split = run_split(store, plan, best.job, images)
    originals = [index for index in split.train if images.variants[index].variant == 0]
    quantised_graph = quantised(files[ONNX], images.read(np.array(originals[:CALIBRATION_FILMS])))
    head = np.load(BytesIO(files[HEAD]), allow_pickle=False) if HEAD in files else None
    judged = split.validation[drawn(images.labels[split.validation], _MOST_JUDGED)]
    judge = Judge.of(files[ONNX], images.examples(judged), head, best.temperature, points)
    bfloat16, golden_bfloat16 = judge.bfloat16(files[ONNX], files[GOLDEN])
    int8, golden_int8 = judge.int8(quantised_graph, files[GOLDEN])
    more: dict[str, bytes] = {}
    if bfloat16 and bfloat16.offered:
        more |= {GOLDEN_BFLOAT16: golden_bfloat16}
    if int8.offered:
        more |= {INT8: quantised_graph, GOLDEN_INT8: golden_int8}
    return bfloat16, int8, more


def model_is_intact(store: ObjectStore, plan: Plan, network: str) -> bool:
    """Return True if the run's version is published and its files are the ones that its card names."""
    try:
        card = models.read_card(store, network, plan.run)
        return all(models.read_file(store, card, name) for name in card.files)
    except (ModelNotFound, ModelCorrupt):
        return False


def _head_weights(network: MammogramNetwork) -> bytes:
    """Return the last layer's weights as .npy, float32 3 x C.

    Their product with the graph's `features` (C x h x w) is the class-activation map.
    """
    target = BytesIO()
    np.save(target, head_layers(network).weight.detach().numpy(), allow_pickle=False)
    return target.getvalue()


def _export(network: MammogramNetwork, example: Float32Array) -> bytes:
    batch = torch.export.Dim("batch")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about deprecations of its own
        target = Path(folder) / ONNX
        torch.onnx.export(
            network,
            (torch.from_numpy(example),),
            str(target),
            input_names=["films"],
            output_names=["logits", "features"],
            dynamo=True,
            dynamic_shapes=({0: batch},),
            external_data=False,
            verbose=False,
        )
        return target.read_bytes()
