"""The page of the object store, read from `shared.store.layout`."""

import inspect
from collections.abc import Callable, Iterator

from shared.store import layout
from tests.reference.markdown import page, table

MEANINGS = {
    "raw_manifest": "what the data set is, and the digest of its content",
    "all_raw": "all data sets",
    "raw": "all of a data set",
    "raw_content": "one version of the content of a data set; stores of before 0.2 have no digest here",
    "raw_manifests": "the shards of a data set",
    "raw_shard": "what is known of the films of a shard",
    "raw_films": "the films of a data set",
    "raw_film": "a film as it came, in stores of before 0.2",
    "ingest_units": "the finished units of an ingest that is not finished",
    "ingest_unit": "what is known of the films of a unit; written last, removed once the data set is there",
    "ingest_plan": "the source of an ingest by workers",
    "ingest_failure": "a unit that a worker gave up: the code of the error",
    "ingest_films": "the films of an ingest, for as long as the data set has them",
    "ingest_film": "a film, de-identified unless it names no patient; `raw_film` is its place in stores of before 0.2",
    "augmented_images": "all augmented films of a recipe",
    "augmented_image": "an augmented film",
    "augmented_manifests": "the finished shards of the augment stage",
    "augmented_manifest": "what a finished shard holds; written last",
    "segmented_images": "all segmented films of a recipe",
    "segmented_image": "a segmented film",
    "segmented_mask": "its mask",
    "segmented_manifests": "the finished shards of the segment stage",
    "segmented_manifest": "what a finished shard holds; written last",
    "runs": "all runs",
    "run_plan": "what a run does: data set, recipes, networks, protocols, seed",
    "stage_marker": "the stage is finished",
    "cancelled": "the run was cancelled",
    "claim": "which worker may write for a long job",
    "training": "all training jobs of a run",
    "fold_file": "a file of one training job, such as its checkpoint, weights and predictions; the unit is "
    "NETWORK/PROTOCOL/fold-K",
    "run_split": "the training, validation and test images of a fold, for all networks; made by the first job",
    "run_inputs": "network inputs of a shard of a large data set, made by the first job; may be deleted at any time",
    "report_file": "the report of a run and its figures",
    "published": "the networks that the run has published",
    "published_mark": "the version that the run has published of a network",
    "promoted": "the networks that the run has tried to promote",
    "promoted_mark": "the gate's decision on a network",
    "failures": "what a run, or a stage of it, has given up or set aside",
    "failure": "why a unit of work was given up, or a film was set aside",
    "models": "all models, or all versions of a network",
    "model": "one published version",
    "model_card": "its card, which has the digests of its files",
    "model_file": "one of its files; versions of before 0.2 have no digest in the path",
    "aliases": "the aliases of a network",
    "alias": "the version that an alias, such as `production`, points to",
    "audit": "all moves of aliases",
    "audit_line": "one move: who, when, why",
    "weights": "pretrained weights that were brought along",
    "batches": "all batches",
    "batches_of": "the batches of an owner",
    "batch_of": "one of them; they sort by time",
    "batch_plan": "what a batch of predictions is: owner, model, options",
    "batch_listing": "the list of the images of a batch",
    "batch_keys": "a piece of that list",
    "batch_part": "the answers of a part of the images, a JSON line for each",
    "batch_heatmap": "the heat map of an image, where one was requested",
    "batch_marks": "the finished parts of a batch",
    "batch_mark": "the part is finished; so many of its images have no finding",
    "batch_enqueued": "all parts of the batch were enqueued",
    "batch_end": "how the batch ended",
    "evaluations": "all evaluations on other data sets",
    "evaluation_plan": "a version, the films of another data set that it is tested on, and those that are left out",
    "evaluation_shards": "the finished units of an evaluation",
    "evaluation_shard": "the version's answers for the films of a shard",
    "evaluation_report": "the report of an evaluation and its figures",
    "evaluation_failures": "the units that were given up",
    "evaluation_failure": "why one of them was",
    "api_keys": "the hashes of all API keys",
    "gateway_inbox": "the films that were pushed to the gateway, or those of one study",
    "gateway_film": "one of them, as it came, until its results are stored; names are hashes of UIDs",
    "gateway_outbox": "all predictions whose results are not stored everywhere",
    "gateway_result": "one of them: the answer, without values of headers",
    "gateway_forgotten": "the films of an exam whose results are stored, while they are deleted",
    "self_test": "objects that a process writes and deletes when it starts, to test the store",
}


class _Placeholder:
    """Stands in a path for a value; whatever its format, it shows as its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __format__(self, form: str) -> str:
        return f"<{self._name}>"

    def __getitem__(self, part: object) -> "_Placeholder":
        return self


def store_layout_page() -> str:
    """List every path of the store with its meaning."""
    rows = [(f"`{path}`", MEANINGS[name], f"`{name}`") for name, path in paths()]
    return page(
        "Layout of the object store",
        "`MAMMO_STORE` names a bucket with an optional prefix, or a directory; the paths below begin there. A path "
        "that ends in `/` is a prefix. A record in JSON has the number of its layout in `schema_number`, or 1 where it "
        "has none; lists, lines and marks have that of the plan that names them.",
        table(("path", "what", "function of `shared.store.layout`"), rows),
    )


def paths() -> Iterator[tuple[str, str]]:
    """Yield the name of each function of the layout and the path that it makes."""
    for name, make in builders():
        needed = inspect.signature(make).parameters
        bare = {each: _Placeholder(each) for each, one in needed.items() if one.default is one.empty}
        every = {each: _Placeholder(each) for each in needed}
        for arguments in [bare] if bare.keys() == every.keys() else [bare, every]:
            yield name, make(**arguments)


def builders() -> Iterator[tuple[str, Callable[..., str]]]:
    """Yield the functions of the layout that make paths."""
    for name, function in vars(layout).items():
        if inspect.isfunction(function) and name != "check_name":
            yield name, function
