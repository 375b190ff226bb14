"""The layout of the object store. No other module spells a prefix.

raw/<dataset>/manifest.json                                   what the data set is, and the digest of its content
raw/<dataset>/<digest>/manifests/<shard>.json                 what is known of the films of a shard
raw/<dataset>/<ingest>/films/<film>-<sha256>.<ending>         the films of an ingest
raw/<dataset>/<ingest>/units/<unit>.json                      what it has done so far
raw/<dataset>/<digest>/films/<film>.pgm                       the films as they came, before 0.2
data_augmentation/<dataset>/<recipe>/<film>/<variant>.png     augmented films
data_augmentation/<dataset>/<recipe>/manifests/<shard>.json   what a finished shard holds
data_segmentation/<dataset>/<recipe>/...                      the same of segmented films, and <variant>.mask.png
runs/<run>/plan.json, stages/, training/, report/             one run of the pipeline
runs/<run>/splits/, inputs/<digest>/<shard>                   what its jobs share: splits, and inputs of large data sets
runs/<run>/claims/<stage>/<unit>.json                         who may write for a long job
failed/<run>/<stage>/<unit or film>.json                      what was given up or set aside, with the reason
models/<network>/<version>/card.json                          a published model: the digests of its files
models/<network>/<version>/<digest>/<file>                    its files
models/<network>/aliases/<alias>.json, audit/                 what is promoted, and who did it
weights/<sha256>/<file>                                       pretrained weights that were brought along
batches/<batch>/plan.json, keys/<listing>/<n>.json             one batch of predictions: what it is, which images
batches/<batch>/parts/<part>.jsonl                            answers of a part of its images, a JSON line for each
batches/<batch>/heatmaps/<image>-<sha256>.png                 where they were asked for
batches/<batch>/done/<part>-<count>                           the part is done; so many of its images have no finding
batches/<batch>/enqueued, end.json                            it was begun; how it ended
batches/of/<owner>/<time>-<batch>                             whose it is
evaluations/<evaluation>/plan.json                            one version on another data set, and what is left out
evaluations/<evaluation>/films/<shard>.json, report/, failed/ its answers, their figures, what was given up
gateway/inbox/<study>/<view>-<film>.dcm                       films that were pushed, until their results are stored
gateway/forgotten/<study>.json                                films whose results are stored, while they are deleted
gateway/outbox/<study>.json                                   a prediction whose results are not yet stored everywhere
access/keys.json                                              the hashes of all API keys
"""

import re
from datetime import datetime

from shared.errors import InputError

TOP = (
    "batches/",
    "data_augmentation/",
    "data_segmentation/",
    "evaluations/",
    "failed/",
    "models/",
    "raw/",
    "runs/",
    "weights/",
)
"""What commands look through: an operator may list nothing else (deploy/aws/policies)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def check_name(kind: str, name: str) -> str:
    """`name`, if it can stand between two slashes of a key.

    Raises:
        InputError: it can't.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{kind} '{name}' is not a name: use letters, digits, '.', '_' and '-', at most 80")
    return name


def raw_manifest(dataset: str) -> str:
    return f"raw/{dataset}/manifest.json"


def all_raw() -> str:
    return "raw/"


def raw(dataset: str) -> str:
    return f"raw/{dataset}/"


def raw_content(dataset: str, digest: str) -> str:
    """Return the prefix of a data set's films and shards, by the manifest's digest.

    Stores written before 0.2 have no digest in it.
    """
    return f"{raw(dataset)}{digest}/" if digest else raw(dataset)


def raw_manifests(dataset: str, digest: str) -> str:
    return f"{raw_content(dataset, digest)}manifests/"


def raw_shard(dataset: str, digest: str, shard: str) -> str:
    return f"{raw_manifests(dataset, digest)}{shard}.json"


def raw_films(dataset: str, digest: str) -> str:
    return f"{raw_content(dataset, digest)}films/"


def raw_film(dataset: str, digest: str, film: str) -> str:
    return f"{raw_films(dataset, digest)}{film}.pgm"


def ingest_units(dataset: str, ingest: str) -> str:
    return f"{raw(dataset)}{ingest}/units/"


def ingest_unit(dataset: str, ingest: str, unit: str) -> str:
    return f"{ingest_units(dataset, ingest)}{unit}.json"


def ingest_plan(dataset: str, ingest: str) -> str:
    return f"{ingest_units(dataset, ingest)}plan.json"


def ingest_failure(dataset: str, ingest: str, unit: str) -> str:
    return f"{ingest_units(dataset, ingest)}{unit}.failed"


def ingest_films(dataset: str, ingest: str) -> str:
    return f"{raw(dataset)}{ingest}/films/"


def ingest_film(dataset: str, ingest: str, film: str, sha256: str, ending: str) -> str:
    """Return the key of a film of an ingest, by the digest of its file."""
    return f"{ingest_films(dataset, ingest)}{film}-{sha256[:16]}.{ending}"


def augmented_images(dataset: str, recipe: str) -> str:
    return f"data_augmentation/{dataset}/{recipe}/"


def augmented_image(dataset: str, recipe: str, film: str, variant: int) -> str:
    return f"data_augmentation/{dataset}/{recipe}/{film}/{variant:03d}.png"


def augmented_manifests(dataset: str, recipe: str) -> str:
    return f"data_augmentation/{dataset}/{recipe}/manifests/"


def augmented_manifest(dataset: str, recipe: str, shard: str) -> str:
    return f"{augmented_manifests(dataset, recipe)}{shard}.json"


def segmented_images(dataset: str, recipe: str) -> str:
    return f"data_segmentation/{dataset}/{recipe}/"


def segmented_image(dataset: str, recipe: str, film: str, variant: int) -> str:
    return f"data_segmentation/{dataset}/{recipe}/{film}/{variant:03d}.png"


def segmented_mask(dataset: str, recipe: str, film: str, variant: int) -> str:
    return f"data_segmentation/{dataset}/{recipe}/{film}/{variant:03d}.mask.png"


def segmented_manifests(dataset: str, recipe: str) -> str:
    return f"data_segmentation/{dataset}/{recipe}/manifests/"


def segmented_manifest(dataset: str, recipe: str, shard: str) -> str:
    return f"{segmented_manifests(dataset, recipe)}{shard}.json"


def runs() -> str:
    return "runs/"


def run_plan(run: str) -> str:
    return f"runs/{run}/plan.json"


def stage_marker(run: str, stage: str) -> str:
    return f"runs/{run}/stages/{stage}.json"


def cancelled(run: str) -> str:
    return f"runs/{run}/cancelled.json"


def claim(run: str, stage: str, unit: str) -> str:
    return f"runs/{run}/claims/{stage}/{unit}.json"


def training(run: str) -> str:
    return f"runs/{run}/training/"


def fold_file(run: str, unit: str, name: str) -> str:
    """Return a training job's file; `unit` is <network>/<protocol>/fold-<k>."""
    return f"runs/{run}/training/{unit}/{name}"


def run_split(run: str, protocol: str, fold: int) -> str:
    return f"runs/{run}/splits/{protocol}/fold-{fold}.json"


def run_inputs(run: str, digest: str, shard: str) -> str:
    """Return the key of a shard's network inputs, by the digest of all that they are made from."""
    return f"runs/{run}/inputs/{digest}/{shard}"


def report_file(run: str, name: str) -> str:
    return f"runs/{run}/report/{name}"


def published(run: str) -> str:
    return f"runs/{run}/published/"


def published_mark(run: str, network: str) -> str:
    return f"{published(run)}{network}.json"


def promoted(run: str) -> str:
    return f"runs/{run}/promoted/"


def promoted_mark(run: str, network: str) -> str:
    return f"{promoted(run)}{network}.json"


def failures(run: str, stage: str = "") -> str:
    return f"failed/{run}/{stage}/" if stage else f"failed/{run}/"


def failure(run: str, stage: str, name: str) -> str:
    """`name` is that of a unit of work, or of a film."""
    return f"failed/{run}/{stage}/{name}.json"


def models(network: str = "") -> str:
    return f"models/{network}/" if network else "models/"


def model(network: str, version: str) -> str:
    return f"models/{network}/{version}/"


def model_card(network: str, version: str) -> str:
    return f"{model(network, version)}card.json"


def model_file(network: str, version: str, digest: str, name: str) -> str:
    """Return the key of a version's file, by the digest of all its files.

    Versions of before 0.2 have no digest.
    """
    return f"{model(network, version)}{digest}/{name}" if digest else f"{model(network, version)}{name}"


def aliases(network: str) -> str:
    return f"models/{network}/aliases/"


def alias(network: str, name: str) -> str:
    return f"{aliases(network)}{name}.json"


def audit(network: str) -> str:
    return f"models/{network}/audit/"


def audit_line(network: str, when: datetime, sha256: str) -> str:
    """Lines sort by time."""
    return f"{audit(network)}{when:%Y%m%dT%H%M%S%f}-{sha256[:8]}.json"


def weights(sha256: str, name: str) -> str:
    return f"weights/{sha256}/{name}"


def batches() -> str:
    return "batches/"


def batches_of(owner: str = "") -> str:
    return f"batches/of/{owner}/" if owner else "batches/of/"


def batch_of(owner: str, when: datetime, batch: str) -> str:
    """They sort by time."""
    return f"{batches_of(owner)}{when:%Y%m%dT%H%M%S%f}-{batch}"


def batch_plan(batch: str) -> str:
    return f"batches/{batch}/plan.json"


def batch_listing(batch: str, listing: str) -> str:
    return f"batches/{batch}/keys/{listing}/"


def batch_keys(batch: str, listing: str, number: int) -> str:
    return f"{batch_listing(batch, listing)}{number:06d}.json"


def batch_part(batch: str, part: str) -> str:
    return f"batches/{batch}/parts/{part}.jsonl"


def batch_heatmap(batch: str, image: int, sha256: str) -> str:
    return f"batches/{batch}/heatmaps/{image:06d}-{sha256}.png"


def batch_marks(batch: str) -> str:
    return f"batches/{batch}/done/"


def batch_mark(batch: str, part: str, failed: int) -> str:
    return f"{batch_marks(batch)}{part}-{failed}"


def batch_enqueued(batch: str) -> str:
    return f"batches/{batch}/enqueued"


def batch_end(batch: str) -> str:
    return f"batches/{batch}/end.json"


def evaluations() -> str:
    return "evaluations/"


def evaluation_plan(evaluation: str) -> str:
    return f"evaluations/{evaluation}/plan.json"


def evaluation_shards(evaluation: str) -> str:
    return f"evaluations/{evaluation}/films/"


def evaluation_shard(evaluation: str, shard: str) -> str:
    return f"{evaluation_shards(evaluation)}{shard}.json"


def evaluation_report(evaluation: str, name: str) -> str:
    return f"evaluations/{evaluation}/report/{name}"


def evaluation_failures(evaluation: str) -> str:
    return f"evaluations/{evaluation}/failed/"


def evaluation_failure(evaluation: str, unit: str) -> str:
    return f"{evaluation_failures(evaluation)}{unit}.json"


def api_keys() -> str:
    return "access/keys.json"


def gateway_inbox(study: str = "") -> str:
    return f"gateway/inbox/{study}/" if study else "gateway/inbox/"


def gateway_film(study: str, view: str, film: str) -> str:
    """`study` and `film` are hashes of UIDs; `view` is side and view, such as LMLO, or X."""
    return f"{gateway_inbox(study)}{view}-{film}.dcm"


def gateway_outbox() -> str:
    return "gateway/outbox/"


def gateway_forgotten(study: str) -> str:
    return f"gateway/forgotten/{study}.json"


def gateway_result(study: str) -> str:
    return f"{gateway_outbox()}{study}.json"


def self_test(token: str) -> str:
    return f"self-test/{token}"
