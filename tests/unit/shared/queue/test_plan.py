"""The plan of a run: its units of work, what can't be carried out, and that it survives being stored."""

import re
from itertools import chain
from pathlib import Path

import pytest

from shared.errors import InputError, PlanError, RunNotFound
from shared.modelling.recipes import PROFILES
from shared.queue.plan import SCRATCH, STAGES, Plan, Stage, check_plan, make_plan, read_plan
from shared.store import keys
from shared.store.objects import DirectoryStore
from tests.builders import small_manifest, small_plan


def names(plan: Plan, stage: Stage) -> list[str]:
    return [unit.name for unit in plan.units(stage)]


def with_networks(*networks: str) -> Plan:
    return small_plan(training=dict.fromkeys(networks, PROFILES["test"].training["resnet50"]))


@pytest.mark.parametrize(("films", "shards"), [(0, 0), (1, 1), (8, 1), (9, 2), (322, 41)])
@pytest.mark.parametrize("stage", ["augment", "segment"])
def test_a_shard_is_at_most_eight_films(stage: Stage, films: int, shards: int) -> None:
    assert names(small_plan(films), stage) == [f"{number:06d}" for number in range(shards)]


@pytest.mark.parametrize("films", [1, 8, 9, 20])
def test_shards_cover_every_film_once_and_in_order(films: int) -> None:
    plan, manifest = small_plan(films), small_manifest(films)
    shards = [plan.shard_films(shard, manifest.films) for shard in names(plan, "augment")]
    assert tuple(chain.from_iterable(shards)) == manifest.films
    assert all(1 <= len(shard) <= 8 for shard in shards)


def test_every_network_trains_on_every_fold_and_once_as_the_paper_did() -> None:
    plan = with_networks("alexnet", "resnet50")
    assert names(plan, "train") == [
        *("alexnet/patient/fold-0", "alexnet/patient/fold-1", "alexnet/paper/fold-0"),
        *("resnet50/patient/fold-0", "resnet50/patient/fold-1", "resnet50/paper/fold-0"),
    ]


def test_every_trained_network_is_published_and_the_chosen_ones_are_promoted() -> None:
    plan = with_networks("alexnet", "resnet50")
    assert names(plan, "publish") == ["alexnet", "resnet50"]
    assert names(plan, "promote") == ["resnet50"]
    assert names(plan, "evaluate") == ["report"]


def test_a_run_of_the_leaky_protocol_alone_publishes_nothing() -> None:
    assert names(small_plan(protocols=("paper",), promote=()), "publish") == []


def test_no_two_units_share_what_marks_them_as_done() -> None:
    plan = with_networks("modified_cnn", "alexnet", "resnet50")
    done = [unit.done_key for stage in STAGES for unit in plan.units(stage)]
    assert len(set(done)) == len(done)


def test_units_of_films_are_shared_by_runs_and_the_others_are_not() -> None:
    one, other = small_plan(run="one"), small_plan(run="other")
    for stage in STAGES:
        shared = one.units(stage) == other.units(stage)
        assert shared == (stage in ("augment", "segment")), stage


def test_another_augmentation_has_shards_of_its_own() -> None:
    one, other = small_plan(), small_plan(augmentation=PROFILES["demo"].augmentation)
    for stage in ("augment", "segment"):
        assert not {u.done_key for u in one.units(stage)} & {u.done_key for u in other.units(stage)}


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (small_plan(training={}, promote=()), "trains no network"),
        (small_plan(protocols=(), promote=()), "has no protocol"),
        (small_plan(promote=("alexnet",)), "alexnet can't be promoted"),
        (small_plan(protocols=("paper",)), "leaky protocol 'paper' is never promoted"),
    ],
    ids=["no network", "no protocol", "promotes what it does not train", "promotes the leaky"],
)
def test_a_plan_that_no_worker_could_carry_out_is_refused(plan: Plan, problem: str) -> None:
    with pytest.raises(PlanError, match=problem):
        check_plan(plan)


@pytest.mark.parametrize("changes", [{}, {"promote": ()}, {"protocols": ("paper",), "promote": ()}])
def test_a_plan_that_can_be_carried_out_passes(changes: dict[str, object]) -> None:
    check_plan(small_plan(**changes))


def test_a_new_plan_takes_its_films_from_the_data_set_and_its_work_from_the_profile() -> None:
    manifest, profile = small_manifest(20), PROFILES["quick"]
    plan = make_plan(
        manifest,
        profile,
        networks=("resnet50", "alexnet"),
        protocols=("patient",),
        weights={"resnet50": "weights/abc/trunk.pth"},
        promote=(),
        seed=3,
    )
    assert (plan.dataset, plan.synthetic, plan.films) == ("small", True, 20)
    assert (plan.profile, plan.folds, plan.augmentation) == ("quick", profile.folds, profile.augmentation)
    assert plan.training == {name: profile.training[name] for name in ("resnet50", "alexnet")}
    assert plan.weights == {"resnet50": "weights/abc/trunk.pth", "alexnet": SCRATCH}
    assert plan.seed == 3


def test_the_name_of_a_run_is_its_time_and_good_for_a_key() -> None:
    plan = small_plan()
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", plan.run)
    assert plan.run[:8] == plan.created[:10].replace("-", "")
    assert keys.check_name("run", plan.run) == plan.run


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    store, plan = DirectoryStore(tmp_path), with_networks("modified_cnn", "resnet50")
    store.put(keys.run_plan(plan.run), plan.model_dump_json().encode())
    assert read_plan(store, plan.run) == plan


def test_an_unknown_run_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound, match="'20240101-000000-abcd'"):
        read_plan(DirectoryStore(tmp_path), "20240101-000000-abcd")


@pytest.mark.parametrize("run", ["", "../raw", "a/b"])
def test_what_is_no_name_is_no_run(tmp_path: Path, run: str) -> None:
    with pytest.raises(InputError, match="is not a name"):
        read_plan(DirectoryStore(tmp_path), run)
