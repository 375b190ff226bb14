"""Plans of evaluations: which films they judge, and what is refused before any is."""

from pathlib import Path

import pytest

from shared.domain.films import as_it_was
from shared.errors import InputError, ModelCorrupt, ModelNotFound, PlanError, RunNotFound
from shared.evaluations.plan import REPORT, dataset_of, make_evaluation, read_evaluation_plan
from shared.imaging.segmentation.segment import SEGMENTATION_VERSION
from shared.modelling.card import PreprocessingCard
from shared.store import layout
from shared.store.directory import DirectoryStore
from shared.store.ingest import read_dataset
from tests.support.builders import small_manifest
from tests.support.external import HELD_OUT, NETWORK, VERSION, known_films, others, planned, published


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path)
    published(store)
    return store


class TestMakeEvaluation:
    def test_all_films_of_another_data_set_are_judged(self, store: DirectoryStore) -> None:
        known_films(store, "clinic", others())
        plan = planned(store)
        assert (plan.films, plan.left_out.films, plan.dataset_version) == (12, (), 1)
        assert plan.evaluation.startswith(f"{NETWORK}-{VERSION}-")
        assert list(plan.shards) == ["000000", "000001"]

    def test_the_same_version_and_films_give_the_same_evaluation_and_others_another(
        self, store: DirectoryStore
    ) -> None:
        known_films(store, "clinic", others())
        known_films(store, "town", others(first=201))
        assert planned(store).evaluation == planned(store).evaluation
        assert planned(store).evaluation != planned(store, "town").evaluation

    def test_a_version_of_the_data_set_can_be_named(self, store: DirectoryStore) -> None:
        known_films(store, "clinic", others())
        assert planned(store, "clinic@1").evaluation == planned(store).evaluation
        with pytest.raises(PlanError, match="data set clinic has no version 2"):
            planned(store, "clinic@2")

    def test_a_patient_on_both_sides_is_left_out(self, store: DirectoryStore) -> None:
        films = others()
        films[0] = films[0].model_copy(update={"patient": "p005"})
        known_films(store, "clinic", films)
        left_out = planned(store).left_out
        assert (left_out.patients_by_id, left_out.films) == (("p005",), ("film101",))

    def test_a_film_that_was_trained_on_is_left_out_with_its_patient(self, store: DirectoryStore) -> None:
        films = others()
        trained = next(film for film in small_manifest().films if film.patient not in HELD_OUT)
        films[1] = films[1].model_copy(update={"sha256": trained.sha256})
        known_films(store, "clinic", films)
        left_out = planned(store).left_out
        assert left_out.patients_by_film == (films[1].patient,)
        assert left_out.films == ("film102", "film103")

    def test_of_its_own_data_set_only_held_out_patients_are_judged(self, store: DirectoryStore) -> None:
        plan = planned(store, "small")
        judged = [film for film in small_manifest().films if film.id not in plan.left_out.films]
        assert {film.patient for film in judged} == set(HELD_OUT)

    def test_patients_that_chose_epoch_and_thresholds_count_as_seen(self, store: DirectoryStore) -> None:
        """The card names the held-out patients alone: everybody else trained or validated."""
        known_films(store, "clinic", [*others(), *small_manifest().films])
        left_out = planned(store).left_out
        assert set(left_out.patients_by_id) == {film.patient for film in small_manifest().films} - set(HELD_OUT)

    def test_ids_of_generated_films_are_not_compared(self, store: DirectoryStore) -> None:
        films = [
            film.model_copy(update={"sha256": f"{900 + number:064x}"})
            for number, film in enumerate(small_manifest().films)
        ]
        known_films(store, "generated", films, synthetic=True)
        assert planned(store, "generated").left_out.films == ()

    def test_a_data_set_that_was_seen_as_a_whole_is_refused_with_the_reason(self, store: DirectoryStore) -> None:
        seen = [film for film in small_manifest().films if film.patient not in HELD_OUT]
        known_films(store, "copy", seen)
        with pytest.raises(PlanError, match="all 12 films of data set copy are left out: 6 patients that it has seen"):
            planned(store, "copy")

    def test_what_is_not_there_is_named(self, store: DirectoryStore) -> None:
        with pytest.raises(PlanError, match="there is no data set 'clinic'; add it with `mammo ingest"):
            planned(store)
        known_films(store, "clinic", others())
        with pytest.raises(ModelNotFound, match="resnet50 has no version 'v2'"):
            make_evaluation(store, NETWORK, "v2", "clinic")
        with pytest.raises(InputError, match="is not a name"):
            make_evaluation(store, NETWORK, VERSION, "../clinic")

    @pytest.mark.parametrize("gone", ["run", "data set"])
    def test_a_version_whose_training_films_are_not_known_is_refused(self, store: DirectoryStore, gone: str) -> None:
        known_films(store, "clinic", others())
        (run,) = [key for key in store.list(layout.runs()) if key.endswith("plan.json")]
        store.delete(run if gone == "run" else layout.raw_manifest("small"))
        with pytest.raises(PlanError, match="can't be told which films resnet50 v1 was trained on"):
            planned(store)

    def test_other_films_under_the_name_of_the_training_set_are_not_taken_for_it(self, store: DirectoryStore) -> None:
        known_films(store, "clinic", others())
        for key in list(store.list(layout.raw("small"))):
            store.delete(key)
        known_films(store, "small", others(first=301))
        with pytest.raises(PlanError, match="can't be told which films"):
            planned(store)

    def test_films_that_this_release_would_prepare_in_another_way_are_not_judged(self, tmp_path: Path) -> None:
        store = DirectoryStore(tmp_path / "other")
        published(store, preprocessing=PreprocessingCard(size=64, segmentation=SEGMENTATION_VERSION - 1))
        known_films(store, "clinic", others())
        with pytest.raises(ModelCorrupt, match="deploy the release that trained it"):
            planned(store)


class TestReadEvaluationPlan:
    def test_an_evaluation_that_is_not_there(self, store: DirectoryStore) -> None:
        with pytest.raises(RunNotFound, match="there is no evaluation 'nothing'"):
            read_evaluation_plan(store, "nothing")


class TestUnits:
    def test_each_has_its_place_and_others_are_refused(self, store: DirectoryStore) -> None:
        known_films(store, "clinic", others())
        plan = planned(store)
        assert plan.done_key("000001").endswith("/films/000001.json")
        assert plan.done_key(REPORT).endswith("/report/digests.json")
        with pytest.raises(PlanError, match="has no unit '000002'"):
            plan.done_key("000002")


class TestDatasetOf:
    def test_films_that_replaced_the_data_set_are_not_judged_in_its_place(self, store: DirectoryStore) -> None:
        known_films(store, "clinic", others())
        plan = planned(store)
        assert dataset_of(store, plan) == as_it_was(read_dataset(store, "clinic"), plan.films_sha256)
        for key in list(store.list(layout.raw("clinic"))):
            store.delete(key)
        known_films(store, "clinic", others(first=501))
        with pytest.raises(PlanError, match="holds other films than when evaluation"):
            dataset_of(store, plan)
