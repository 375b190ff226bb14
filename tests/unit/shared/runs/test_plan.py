"""The plan of a run: its units of work, what can't be carried out, and that it survives being stored."""

import re
from pathlib import Path

import pytest

from shared.domain.films import describe
from shared.errors import InputError, PlanError, RunNotFound
from shared.modelling.profiles import PROFILES
from shared.modelling.recipes import Protocol, TrainingRecipe
from shared.queue.messages import STAGES, Stage
from shared.runs.plan import LARGE, SCRATCH, SHARDED, Plan, RunOptions, check_plan, make_plan, read_plan
from shared.store import layout
from shared.store.directory import DirectoryStore
from tests.support.builders import small_manifest, small_plan


def names(plan: Plan, stage: Stage) -> list[str]:
    return [unit.name for unit in plan.units(stage)]


def with_networks(*networks: str) -> Plan:
    return small_plan(training=dict.fromkeys(networks, PROFILES["test"].training["resnet50"]))


class TestCheckPlan:
    @pytest.mark.parametrize(
        ("plan", "problem"),
        [
            (small_plan(training={}, promote=()), "trains no network"),
            (small_plan(protocols=(), promote=()), "has no protocol"),
            (small_plan(promote=("alexnet",)), "alexnet can't be promoted"),
            (
                small_plan(training={"alexnet": TrainingRecipe(input_size=64, epochs=1, lesion_weight=1)}, promote=()),
                "alexnet can't be trained on lesions' circles",
            ),
            (
                small_plan(
                    training={"alexnet": TrainingRecipe(input_size=64, epochs=1, last_stage="layer3")}, promote=()
                ),
                "alexnet has no last_stage to choose",
            ),
            (
                small_plan(
                    training={"modified_cnn": TrainingRecipe(input_size=64, epochs=1, strided="1x1")}, promote=()
                ),
                "modified_cnn has no strided to choose",
            ),
            (small_plan(protocols=("paper",)), "leaky protocol 'paper' is never promoted"),
        ],
        ids=[
            "no network",
            "no protocol",
            "promotes what it does not train",
            "circles for AlexNet",
            "another last stage for AlexNet",
            "other strides for the modified CNN",
            "promotes the leaky",
        ],
    )
    def test_a_plan_that_no_worker_could_carry_out_is_refused(self, plan: Plan, problem: str) -> None:
        with pytest.raises(PlanError, match=problem):
            check_plan(plan)

    @pytest.mark.parametrize("changes", [{}, {"promote": ()}, {"protocols": ("paper",), "promote": ()}])
    def test_a_plan_that_can_be_carried_out_passes(self, changes: dict[str, object]) -> None:
        check_plan(small_plan(**changes))


class TestMakePlan:
    def test_a_new_plan_takes_its_films_from_the_data_set_and_its_work_from_the_profile(self) -> None:
        dataset, profile = describe(small_manifest(20)), PROFILES["quick"]
        plan = make_plan(
            dataset,
            profile,
            RunOptions(
                networks=("resnet50", "alexnet"),
                protocols=("patient",),
                weights={"resnet50": "weights/abc/trunk.pth"},
                promote=(),
                seed=3,
            ),
        )
        assert (plan.dataset, plan.synthetic, plan.films, plan.shard_films) == ("small", True, 20, dataset.shard_films)
        assert (plan.profile, plan.folds, plan.augmentation) == ("quick", profile.folds, profile.augmentation)
        assert plan.training == {name: profile.training[name] for name in ("resnet50", "alexnet")}
        assert plan.weights == {"resnet50": "weights/abc/trunk.pth", "alexnet": SCRATCH}
        assert plan.seed == 3

    @pytest.mark.parametrize(("films", "large"), [(LARGE - 1, False), (LARGE, True)])
    def test_of_a_large_data_set_no_augmented_copies_are_stored(self, films: int, large: bool) -> None:
        dataset, profile = describe(small_manifest(48)).model_copy(update={"films": films}), PROFILES["quick"]
        options = RunOptions(networks=("alexnet",), protocols=("patient",), weights={}, promote=(), seed=3)
        plan = make_plan(dataset, profile, options)
        assert (plan.large, plan.augmentation.variants) == (large, 1 if large else profile.augmentation.variants)
        assert plan.training["alexnet"].jitter.moves == large
        assert ("large" in plan.model_dump_json()) == large
        assert Plan.model_validate_json(plan.model_dump_json()) == plan

    def test_a_data_set_with_too_few_patients_for_the_folds_is_refused_where_folds_are_by_patient(self) -> None:
        dataset = describe(small_manifest(4))

        def plan(*protocols: Protocol) -> Plan:
            return make_plan(
                dataset,
                PROFILES["test"],
                RunOptions(networks=("resnet50",), protocols=protocols, weights={}, promote=(), seed=3),
            )

        with pytest.raises(PlanError, match=r"patients have a film that is .*, too few"):
            plan("patient", "paper")
        assert plan("paper").films == 4


class TestPlan:
    @pytest.mark.parametrize(("films", "shards"), [(0, 0), (1, 1), (8, 1), (9, 2), (322, 41)])
    @pytest.mark.parametrize("stage", ["augment", "segment"])
    def test_a_shard_is_at_most_eight_films(self, stage: Stage, films: int, shards: int) -> None:
        assert names(small_plan(films), stage) == [f"{number:06d}" for number in range(shards)]

    @pytest.mark.parametrize(("films", "shards"), [(13, 1), (14, 2), (26, 2), (27, 3)])
    def test_a_data_set_with_larger_shards_has_fewer_of_them(self, films: int, shards: int) -> None:
        plan = small_plan(films, shard_films=13)
        assert names(plan, "augment") == names(plan, "segment") == [f"{number:06d}" for number in range(shards)]

    def test_every_network_trains_on_every_fold_and_once_as_the_paper_did(self) -> None:
        plan = with_networks("alexnet", "resnet50")
        assert names(plan, "train") == [
            *("alexnet/patient/fold-0", "alexnet/patient/fold-1", "alexnet/paper/fold-0"),
            *("resnet50/patient/fold-0", "resnet50/patient/fold-1", "resnet50/paper/fold-0"),
        ]

    def test_every_trained_network_is_published_and_the_chosen_ones_are_promoted(self) -> None:
        plan = with_networks("alexnet", "resnet50")
        assert names(plan, "publish") == ["alexnet", "resnet50"]
        assert names(plan, "promote") == ["resnet50"]
        assert names(plan, "evaluate") == ["report"]

    def test_a_run_of_the_leaky_protocol_alone_publishes_nothing(self) -> None:
        assert names(small_plan(protocols=("paper",), promote=()), "publish") == []

    def test_no_two_units_share_what_marks_them_as_done(self) -> None:
        plan = with_networks("modified_cnn", "alexnet", "resnet50")
        done = [unit.done_key for stage in STAGES for unit in plan.units(stage)]
        assert len(set(done)) == len(done)

    def test_units_of_films_are_shared_by_runs_and_the_others_are_not(self) -> None:
        one, other = small_plan(run="one"), small_plan(run="other")
        for stage in STAGES:
            shared = list(one.units(stage)) == list(other.units(stage))
            assert shared == (stage in SHARDED), stage

    def test_what_marks_a_unit_as_done_is_found_below_the_prefix_of_its_stage(self) -> None:
        plan = with_networks("modified_cnn", "alexnet", "resnet50")
        for stage in STAGES:
            assert plan.done_prefix(stage).endswith("/")
            assert all(unit.done_key.startswith(plan.done_prefix(stage)) for unit in plan.units(stage))

    def test_units_of_films_are_in_the_order_of_their_keys(self) -> None:
        plan = small_plan(400)
        for stage in SHARDED:
            done = [unit.done_key for unit in plan.units(stage)]
            assert done == sorted(done)

    def test_every_unit_is_found_by_its_name_and_counted(self) -> None:
        plan = with_networks("alexnet", "resnet50")
        for stage in STAGES:
            assert [plan.find(stage, name) for name in plan.names(stage)] == list(plan.units(stage))
            assert plan.count(stage) == len(names(plan, stage))

    @pytest.mark.parametrize(
        ("stage", "name"),
        [
            ("augment", "000002"),
            ("augment", "0"),
            ("augment", "-00001"),
            ("augment", "0000000"),
            ("augment", "mdb001"),
            ("segment", ""),
            ("segment", "../../"),
            ("train", "resnet50/patient/fold-2"),
            ("train", "alexnet/patient/fold-0"),
            ("evaluate", "000000"),
            ("promote", "alexnet"),
        ],
    )
    def test_a_unit_that_the_run_does_not_have_is_not_found(self, stage: Stage, name: str) -> None:
        with pytest.raises(PlanError, match=f"has no unit '{re.escape(name)}' in its stage {stage}"):
            small_plan(16).find(stage, name)

    def test_another_augmentation_has_shards_of_its_own(self) -> None:
        one, other = small_plan(), small_plan(augmentation=PROFILES["demo"].augmentation)
        for stage in ("augment", "segment"):
            assert not {u.done_key for u in one.units(stage)} & {u.done_key for u in other.units(stage)}

    def test_the_name_of_a_run_is_its_time_and_good_for_a_key(self) -> None:
        plan = small_plan()
        assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", plan.run)
        assert plan.run[:8] == plan.created[:10].replace("-", "")
        assert layout.check_name("run", plan.run) == plan.run


class TestReadPlan:
    def test_a_plan_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        store, plan = DirectoryStore(tmp_path), with_networks("modified_cnn", "resnet50")
        store.put(layout.run_plan(plan.run), plan.model_dump_json().encode())
        assert read_plan(store, plan.run) == plan

    def test_an_unknown_run_is_told_by_name(self, tmp_path: Path) -> None:
        with pytest.raises(RunNotFound, match="'20240101-000000-abcd'"):
            read_plan(DirectoryStore(tmp_path), "20240101-000000-abcd")

    @pytest.mark.parametrize("run", ["", "../raw", "a/b"])
    def test_what_is_no_name_is_no_run(self, tmp_path: Path, run: str) -> None:
        with pytest.raises(InputError, match="is not a name"):
            read_plan(DirectoryStore(tmp_path), run)
