"""The layout of the store, key by key, and the names that may stand in a key."""

from datetime import UTC, datetime

import pytest

from shared.errors import InputError
from shared.store import layout

LAYOUT = {
    layout.raw_manifest("mias"): "raw/mias/manifest.json",
    layout.raw_shard("mias", "abc", "000007"): "raw/mias/abc/manifests/000007.json",
    layout.raw_film("mias", "abc", "mdb001"): "raw/mias/abc/films/mdb001.pgm",
    layout.raw_shard("mias", "", "000007"): "raw/mias/manifests/000007.json",
    layout.raw_film("mias", "", "mdb001"): "raw/mias/films/mdb001.pgm",
    layout.augmented_image("mias", "r-1", "mdb001", 7): "data_augmentation/mias/r-1/mdb001/007.png",
    layout.augmented_manifest("mias", "r-1", "000007"): "data_augmentation/mias/r-1/manifests/000007.json",
    layout.segmented_image("mias", "r-1", "mdb001", 7): "data_segmentation/mias/r-1/mdb001/007.png",
    layout.segmented_mask("mias", "r-1", "mdb001", 7): "data_segmentation/mias/r-1/mdb001/007.mask.png",
    layout.segmented_manifest("mias", "r-1", "000007"): "data_segmentation/mias/r-1/manifests/000007.json",
    layout.run_plan("run"): "runs/run/plan.json",
    layout.stage_marker("run", "train"): "runs/run/stages/train.json",
    layout.cancelled("run"): "runs/run/cancelled.json",
    layout.claim("run", "train", "alexnet/paper/fold-0"): "runs/run/claims/train/alexnet/paper/fold-0.json",
    layout.fold_file(
        "run", "alexnet/paper/fold-0", "result.json"
    ): "runs/run/training/alexnet/paper/fold-0/result.json",
    layout.run_split("run", "patient", 3): "runs/run/splits/patient/fold-3.json",
    layout.run_inputs("run", "abc", "000007"): "runs/run/inputs/abc/000007",
    layout.report_file("run", "index.html"): "runs/run/report/index.html",
    layout.published_mark("run", "alexnet"): "runs/run/published/alexnet.json",
    layout.promoted_mark("run", "alexnet"): "runs/run/promoted/alexnet.json",
    layout.failure("run", "train", "unit"): "failed/run/train/unit.json",
    layout.failure("run", "augment", "mdb001"): "failed/run/augment/mdb001.json",
    layout.model_card("alexnet", "v1"): "models/alexnet/v1/card.json",
    layout.model_file("alexnet", "v1", "abc", "model.onnx"): "models/alexnet/v1/abc/model.onnx",
    layout.model_file("alexnet", "v1", "", "model.onnx"): "models/alexnet/v1/model.onnx",
    layout.alias("alexnet", "production"): "models/alexnet/aliases/production.json",
    layout.audit_line("alexnet", datetime(2024, 5, 21, 10, 15, 0, 123, UTC), "0123456789"): (
        "models/alexnet/audit/20240521T101500000123-01234567.json"
    ),
    layout.weights("abc", "trunk.pth"): "weights/abc/trunk.pth",
    layout.batch_plan("b"): "batches/b/plan.json",
    layout.batch_keys("b", "listing", 3): "batches/b/keys/listing/000003.json",
    layout.batch_part("b", "000007"): "batches/b/parts/000007.jsonl",
    layout.batch_heatmap("b", 112, "abc"): "batches/b/heatmaps/000112-abc.png",
    layout.batch_mark("b", "000007", 2): "batches/b/done/000007-2",
    layout.batch_enqueued("b"): "batches/b/enqueued",
    layout.batch_end("b"): "batches/b/end.json",
    layout.batch_of("clinic-a", datetime(2024, 5, 21, 10, 15, 0, 123, UTC), "b"): (
        "batches/of/clinic-a/20240521T101500000123-b"
    ),
    layout.self_test("token"): "self-test/token",
}


class TestPaths:
    @pytest.mark.parametrize(("made", "expected"), LAYOUT.items())
    def test_the_layout_is_the_published_one(self, made: str, expected: str) -> None:
        assert made == expected

    @pytest.mark.parametrize(
        ("prefix", "key"),
        [
            (layout.raw("mias"), layout.raw_manifest("mias")),
            (layout.raw_content("mias", "abc"), layout.raw_films("mias", "abc")),
            (layout.raw_films("mias", "abc"), layout.raw_film("mias", "abc", "mdb001")),
            (layout.raw_manifests("mias", "abc"), layout.raw_shard("mias", "abc", "000000")),
            (layout.augmented_manifests("mias", "r-1"), layout.augmented_manifest("mias", "r-1", "000000")),
            (layout.segmented_manifests("mias", "r-1"), layout.segmented_manifest("mias", "r-1", "000000")),
            (layout.published("run"), layout.published_mark("run", "alexnet")),
            (layout.promoted("run"), layout.promoted_mark("run", "alexnet")),
            (layout.training("run"), layout.fold_file("run", "unit", "result.json")),
            (layout.failures("run"), layout.failure("run", "train", "unit")),
            (layout.failures("run", "train"), layout.failure("run", "train", "unit")),
            (layout.runs(), layout.run_plan("run")),
            (layout.models(), layout.model_card("alexnet", "v1")),
            (layout.model("alexnet", "v1"), layout.model_file("alexnet", "v1", "abc", "model.onnx")),
            (layout.models("alexnet"), layout.alias("alexnet", "production")),
            (layout.aliases("alexnet"), layout.alias("alexnet", "production")),
            (layout.audit("alexnet"), layout.audit_line("alexnet", datetime(2024, 5, 21, tzinfo=UTC), "0123456789")),
            (layout.models("alexnet"), layout.audit("alexnet")),
            (layout.batch_listing("b", "listing"), layout.batch_keys("b", "listing", 0)),
            (layout.batch_marks("b"), layout.batch_mark("b", "000000", 0)),
            (layout.batches_of("clinic-a"), layout.batch_of("clinic-a", datetime(2024, 5, 21, tzinfo=UTC), "b")),
        ],
    )
    def test_a_prefix_to_list_ends_with_a_slash_and_begins_its_keys(self, prefix: str, key: str) -> None:
        assert prefix.endswith("/")
        assert key.startswith(prefix)

    def test_the_films_of_a_data_set_are_not_listed_with_what_is_known_of_them(self) -> None:
        for digest in ("", "abc"):
            assert not layout.raw_shard("mias", digest, "000000").startswith(layout.raw_films("mias", digest))
            assert not layout.raw_manifest("mias").startswith(layout.raw_manifests("mias", digest))

    def test_lines_of_the_audit_trail_sort_by_their_time(self) -> None:
        moments = [datetime(2024, 5, 21, 10, 15, 0, part, UTC) for part in (0, 9, 10, 999_999)]
        moments.append(datetime(2024, 5, 21, 10, 16, tzinfo=UTC))
        lines = [layout.audit_line("alexnet", when, f"{9 - number}" * 64) for number, when in enumerate(moments)]
        assert lines == sorted(lines)

    def test_the_report_of_a_run_is_listed_by_its_empty_name(self) -> None:
        assert layout.report_file("run", "index.html").startswith(layout.report_file("run", ""))


class TestCheckName:
    @pytest.mark.parametrize("name", ["mias", "20240521-101500-a1b2", "v1.2_final", "A", "0", "x" * 80])
    def test_a_name_is_returned_as_it_is(self, name: str) -> None:
        assert layout.check_name("data set", name) == name

    @pytest.mark.parametrize(
        "name", ["", ".", "..", ".hidden", "-x", "_x", "a/b", "../raw", "a b", "a\n", "größe", "a\\b", "a\0", "x" * 81]
    )
    def test_what_can_not_stand_between_two_slashes_is_refused(self, name: str) -> None:
        with pytest.raises(InputError) as refused:
            layout.check_name("data set", name)
        assert str(refused.value).startswith(f"data set '{name}' is not a name")
