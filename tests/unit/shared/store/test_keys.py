"""The layout of the store, key by key, and the names that may stand in a key."""

from datetime import UTC, datetime

import pytest

from shared.errors import InputError
from shared.store import keys

LAYOUT = {
    keys.raw_manifest("mias"): "raw/mias/manifest.json",
    keys.raw_shard("mias", "abc", "000007"): "raw/mias/abc/manifests/000007.json",
    keys.raw_film("mias", "abc", "mdb001"): "raw/mias/abc/films/mdb001.pgm",
    keys.raw_shard("mias", "", "000007"): "raw/mias/manifests/000007.json",
    keys.raw_film("mias", "", "mdb001"): "raw/mias/films/mdb001.pgm",
    keys.augmented_image("mias", "r-1", "mdb001", 7): "data_augmentation/mias/r-1/mdb001/007.png",
    keys.augmented_manifest("mias", "r-1", "000007"): "data_augmentation/mias/r-1/manifests/000007.json",
    keys.segmented_image("mias", "r-1", "mdb001", 7): "data_segmentation/mias/r-1/mdb001/007.png",
    keys.segmented_mask("mias", "r-1", "mdb001", 7): "data_segmentation/mias/r-1/mdb001/007.mask.png",
    keys.segmented_manifest("mias", "r-1", "000007"): "data_segmentation/mias/r-1/manifests/000007.json",
    keys.run_plan("run"): "runs/run/plan.json",
    keys.stage_marker("run", "train"): "runs/run/stages/train.json",
    keys.cancelled("run"): "runs/run/cancelled.json",
    keys.claim("run", "train", "alexnet/paper/fold-0"): "runs/run/claims/train/alexnet/paper/fold-0.json",
    keys.fold_file("run", "alexnet/paper/fold-0", "result.json"): "runs/run/training/alexnet/paper/fold-0/result.json",
    keys.report_file("run", "index.html"): "runs/run/report/index.html",
    keys.published_mark("run", "alexnet"): "runs/run/published/alexnet.json",
    keys.promoted_mark("run", "alexnet"): "runs/run/promoted/alexnet.json",
    keys.failure("run", "train", "unit"): "failed/run/train/unit.json",
    keys.failure("run", "augment", "mdb001"): "failed/run/augment/mdb001.json",
    keys.model_card("alexnet", "v1"): "models/alexnet/v1/card.json",
    keys.model_file("alexnet", "v1", "abc", "model.onnx"): "models/alexnet/v1/abc/model.onnx",
    keys.model_file("alexnet", "v1", "", "model.onnx"): "models/alexnet/v1/model.onnx",
    keys.alias("alexnet", "production"): "models/alexnet/aliases/production.json",
    keys.audit_line("alexnet", datetime(2024, 5, 21, 10, 15, 0, 123, UTC), "0123456789"): (
        "models/alexnet/audit/20240521T101500000123-01234567.json"
    ),
    keys.weights("abc", "trunk.pth"): "weights/abc/trunk.pth",
    keys.batch_plan("b"): "batches/b/plan.json",
    keys.batch_keys("b", "listing", 3): "batches/b/keys/listing/000003.json",
    keys.batch_part("b", "000007"): "batches/b/parts/000007.jsonl",
    keys.batch_heatmap("b", 112, "abc"): "batches/b/heatmaps/000112-abc.png",
    keys.batch_mark("b", "000007", 2): "batches/b/done/000007-2",
    keys.batch_enqueued("b"): "batches/b/enqueued",
    keys.batch_end("b"): "batches/b/end.json",
    keys.batch_of("clinic-a", datetime(2024, 5, 21, 10, 15, 0, 123, UTC), "b"): (
        "batches/of/clinic-a/20240521T101500000123-b"
    ),
    keys.self_test("token"): "self-test/token",
}


@pytest.mark.parametrize(("made", "expected"), LAYOUT.items())
def test_the_layout_is_the_published_one(made: str, expected: str) -> None:
    assert made == expected


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        (keys.raw("mias"), keys.raw_manifest("mias")),
        (keys.raw_content("mias", "abc"), keys.raw_films("mias", "abc")),
        (keys.raw_films("mias", "abc"), keys.raw_film("mias", "abc", "mdb001")),
        (keys.raw_manifests("mias", "abc"), keys.raw_shard("mias", "abc", "000000")),
        (keys.augmented_manifests("mias", "r-1"), keys.augmented_manifest("mias", "r-1", "000000")),
        (keys.segmented_manifests("mias", "r-1"), keys.segmented_manifest("mias", "r-1", "000000")),
        (keys.published("run"), keys.published_mark("run", "alexnet")),
        (keys.promoted("run"), keys.promoted_mark("run", "alexnet")),
        (keys.training("run"), keys.fold_file("run", "unit", "result.json")),
        (keys.failures("run"), keys.failure("run", "train", "unit")),
        (keys.failures("run", "train"), keys.failure("run", "train", "unit")),
        (keys.runs(), keys.run_plan("run")),
        (keys.models(), keys.model_card("alexnet", "v1")),
        (keys.model("alexnet", "v1"), keys.model_file("alexnet", "v1", "abc", "model.onnx")),
        (keys.models("alexnet"), keys.alias("alexnet", "production")),
        (keys.aliases("alexnet"), keys.alias("alexnet", "production")),
        (keys.audit("alexnet"), keys.audit_line("alexnet", datetime(2024, 5, 21, tzinfo=UTC), "0123456789")),
        (keys.models("alexnet"), keys.audit("alexnet")),
        (keys.batch_listing("b", "listing"), keys.batch_keys("b", "listing", 0)),
        (keys.batch_marks("b"), keys.batch_mark("b", "000000", 0)),
        (keys.batches_of("clinic-a"), keys.batch_of("clinic-a", datetime(2024, 5, 21, tzinfo=UTC), "b")),
    ],
)
def test_a_prefix_to_list_ends_with_a_slash_and_begins_its_keys(prefix: str, key: str) -> None:
    assert prefix.endswith("/")
    assert key.startswith(prefix)


def test_the_films_of_a_data_set_are_not_listed_with_what_is_known_of_them() -> None:
    for digest in ("", "abc"):
        assert not keys.raw_shard("mias", digest, "000000").startswith(keys.raw_films("mias", digest))
        assert not keys.raw_manifest("mias").startswith(keys.raw_manifests("mias", digest))


def test_lines_of_the_audit_trail_sort_by_their_time() -> None:
    moments = [datetime(2024, 5, 21, 10, 15, 0, part, UTC) for part in (0, 9, 10, 999_999)]
    moments.append(datetime(2024, 5, 21, 10, 16, tzinfo=UTC))
    lines = [keys.audit_line("alexnet", when, f"{9 - number}" * 64) for number, when in enumerate(moments)]
    assert lines == sorted(lines)


def test_the_report_of_a_run_is_listed_by_its_empty_name() -> None:
    assert keys.report_file("run", "index.html").startswith(keys.report_file("run", ""))


@pytest.mark.parametrize("name", ["mias", "20240521-101500-a1b2", "v1.2_final", "A", "0", "x" * 80])
def test_a_name_is_returned_as_it_is(name: str) -> None:
    assert keys.check_name("data set", name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-x", "_x", "a/b", "../raw", "a b", "a\n", "größe", "a\\b", "a\0", "x" * 81]
)
def test_what_can_not_stand_between_two_slashes_is_refused(name: str) -> None:
    with pytest.raises(InputError) as refused:
        keys.check_name("data set", name)
    assert str(refused.value).startswith(f"data set '{name}' is not a name")
