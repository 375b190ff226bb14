"""`make bench-inference ANSWERS=1`: what a version answers by each engine that it may be served with.

Runs the films of the patients that the version's training has not seen, from the store that it was trained in: for each
engine the macro AUC, its difference from ONNX Runtime in single precision, the part of equal decisions at the operating
points, and the part of heat maps that peak within a cell. Also says whether `MAMMO_SERVE_ENGINE=onnx` answers to the
last bit as a plain session of ONNX Runtime does. MAMMO_STORE names the store.
"""

import argparse
import sys
from io import BytesIO

import numpy as np
import onnxruntime

from services.inference.serving.engines import load_engine, offers
from services.train.data.examples import Examples
from services.train.publishing.number_formats import LEAST_EQUAL, MOST_AUC_APART, Agreement, Judge, outputs_of
from shared.domain.arrays import Float32Array
from shared.domain.records import CLASSES
from shared.errors import ImageError
from shared.imaging.preprocess import Preprocessing, prepare
from shared.modelling.card import HEAD, ONNX, ModelCard
from shared.modelling.engines.interface import Graph
from shared.modelling.engines.names import CPU_ENGINES, number_format
from shared.settings import StoreSettings, read_settings
from shared.store import models
from shared.store.ingest import film_key, read_dataset, stored_manifest
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from tests.bench.results import FALLS_SHORT


def held_out_films(store: ObjectStore, card: ModelCard) -> Examples:
    """Prepare the films of the patients whom the published weights have not seen; refused films are left out."""
    dataset, held_out = read_dataset(store, card.dataset), set(card.held_out_patients)
    inputs, labels = [], []
    for film in stored_manifest(store, card.dataset).films:
        if film.patient in held_out:
            try:
                data = store.get(film_key(dataset, film))
                inputs.append(prepare(data, Preprocessing(size=card.preprocessing.size)).input)
                labels.append(CLASSES.index(film.label))
            except ImageError as refused:
                print(f"{film.id} is refused: {refused}")
    return Examples(np.stack(inputs), np.asarray(labels))


def plain_logits(graph: bytes, films: Float32Array) -> Float32Array:
    """Run films one by one in a session of ONNX Runtime on one core, with its default optimisations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["logits"], {"films": film[None]})[0] for film in films])


def is_good(seen: Agreement) -> bool:
    """Return True if an engine may serve the version by what was seen."""
    near = seen.peaks_near is None or seen.peaks_near >= LEAST_EQUAL
    return seen.auc_apart <= MOST_AUC_APART and seen.decisions_equal >= LEAST_EQUAL and near


def main() -> int:
    """Print a line for each engine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--version", help="default: the one in production")
    chosen = parser.parse_args()
    store = open_store(read_settings(StoreSettings))
    version = chosen.version or models.read_alias(store, chosen.network, "production").version
    card = models.read_card(store, chosen.network, version)
    graph, films = models.read_file(store, card, ONNX), held_out_films(store, card)
    head = None
    if HEAD in card.files:
        head = np.load(BytesIO(models.read_file(store, card, HEAD)), allow_pickle=False)
    judge = Judge.of(graph, films, head, card.temperature, card.operating_points)
    print(f"{card.network} {version} of {card.dataset}: {len(films.labels)} held-out films, on one core")
    print(f"{'engine':16}{'AUC':>7}{'apart':>8}{'decisions equal':>17}{'maps near':>11}")
    offered, good = offers(card), True
    for engine in CPU_ENGINES:
        if (offer := offered.get(number_format(engine))) is None:
            print(f"{engine:16}  not offered")
            continue
        seen = judge.agreement(load_engine(engine, Graph.of(models.read_file(store, card, offer.graph)), 1, None))
        good &= is_good(seen)
        auc, near = (f"{each:.4f}" if each is not None else "none" for each in (seen.auc, seen.peaks_near))
        verdict = "pass" if is_good(seen) else "FALLS SHORT"
        print(f"{engine:16}{auc:>7}{seen.auc_apart:8.4f}{seen.decisions_equal:17.4f}{near:>11}  {verdict}")
    served = outputs_of(load_engine("onnx", Graph.of(graph), 1, None), judge.films).logits
    same = np.array_equal(served, plain_logits(graph, judge.films))
    print(f"onnx answers {'to the last bit as' if same else 'OTHERWISE than'} a plain session of ONNX Runtime")
    return 0 if good and same else FALLS_SHORT


if __name__ == "__main__":
    sys.exit(main())
