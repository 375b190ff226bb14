"""A published version with its training set, and other data sets to test it on. No image stands behind them."""

from collections.abc import Sequence

from shared.domain.films import Film, Manifest, describe
from shared.evaluations.plan import EvaluationPlan, FilmProbabilities, JudgedShard, make_evaluation
from shared.modelling.card import ModelCard
from shared.runs.plan import Plan
from shared.store import layout, models
from shared.store.ingest import films_of, read_dataset, write_manifests
from shared.store.interface import ObjectStore
from tests.support.builders import model_card, small_manifest, small_plan

NETWORK, VERSION = "resnet50", "v1"
HELD_OUT = ("p001", "p002")


def known_films(store: ObjectStore, name: str, films: Sequence[Film], synthetic: bool = False) -> Manifest:
    """Store what is known of the films of a data set."""
    manifest = Manifest(dataset=name, synthetic=synthetic, films=tuple(films))
    write_manifests(store, describe(manifest), manifest)
    return manifest


def published(store: ObjectStore, **changes: object) -> ModelCard:
    """Publish v1, trained on the data set `small` without the first two patients; `changes` are fields of its card."""
    manifest = small_manifest().model_copy(update={"synthetic": False})
    write_manifests(store, describe(manifest), manifest)
    run: Plan = small_plan(films_sha256=describe(manifest).sha256)
    store.put(layout.run_plan(run.run), run.model_dump_json().encode())
    card = model_card(NETWORK, VERSION, run=run.run, held_out_patients=HELD_OUT, synthetic=False, **changes)
    return models.publish(store, card, {})


def others(count: int = 12, first: int = 101) -> list[Film]:
    """Films of patients of their own, in the mix of labels of the training set."""
    films = small_manifest(count).films
    return [
        film.model_copy(
            update={
                "id": f"film{first + number}",
                "patient": f"other{(first + number) // 2}",
                "sha256": f"{first + number:064x}",
            }
        )
        for number, film in enumerate(films)
    ]


def planned(store: ObjectStore, dataset: str = "clinic") -> EvaluationPlan:
    return make_evaluation(store, NETWORK, VERSION, dataset)


def judge(store: ObjectStore, plan: EvaluationPlan, *shards: str) -> None:
    """Store an answer for every film of the shards, all of them unless they are named, as a worker does."""
    rows = {"normal": (0.7, 0.2, 0.1), "benign": (0.2, 0.6, 0.2), "malignant": (0.1, 0.2, 0.7)}
    films, left_out = films_of(store, read_dataset(store, plan.dataset)), set(plan.left_out.films)
    for number, shard in enumerate(plan.shards):
        if not shards or shard in shards:
            own = films[number * plan.shard_films : (number + 1) * plan.shard_films]
            answers = [FilmProbabilities(film=f.id, probabilities=rows[f.label]) for f in own if f.id not in left_out]
            result = JudgedShard(judged=tuple(answers), refused=())
            store.put(plan.done_key(shard), result.model_dump_json().encode())
