"""Films that a model has seen, whatever their ids are called in another data set."""

from shared.domain.films import Film
from shared.domain.overlap import LeftOut, films_to_leave_out
from shared.domain.records import Label
from tests.support.builders import small_manifest


def film(name: str, patient: str, sha256: str, label: Label = Label.NORMAL) -> Film:
    known = small_manifest(1).films[0]
    return known.model_copy(update={"id": name, "patient": patient, "sha256": sha256, "label": label})


TRAINED = (film("t1", "anna", "aa"), film("t2", "berta", "bb"))


class TestFilmsToLeaveOut:
    def test_of_other_patients_and_files_nothing_is_left_out(self) -> None:
        films = (film("f1", "clara", "cc"), film("f2", "dora", "dd"))
        assert films_to_leave_out(films, TRAINED, same_ids=True) == LeftOut()

    def test_all_films_of_a_patient_with_the_same_id_are_left_out(self) -> None:
        films = (film("f1", "anna", "cc"), film("f2", "anna", "dd"), film("f3", "dora", "ee"))
        left_out = films_to_leave_out(films, TRAINED, same_ids=True)
        assert left_out == LeftOut(patients_by_id=("anna",), films=("f1", "f2"))

    def test_ids_that_mean_nothing_are_not_compared(self) -> None:
        films = (film("f1", "anna", "cc"),)
        assert films_to_leave_out(films, TRAINED, same_ids=False) == LeftOut()

    def test_a_training_film_under_another_patient_leaves_out_all_films_of_that_patient(self) -> None:
        films = (film("f1", "0815", "aa"), film("f2", "0815", "cc"), film("f3", "dora", "dd"))
        for same_ids in (True, False):
            left_out = films_to_leave_out(films, TRAINED, same_ids=same_ids)
            assert left_out == LeftOut(patients_by_film=("0815",), films=("f1", "f2"))

    def test_a_patient_under_two_ids_is_known_by_either(self) -> None:
        films = (
            film("f1", "anna", "cc"),
            film("f2", "0815", "cc"),
            film("f3", "0815", "dd"),
            film("f4", "4711", "dd"),
            film("f5", "4711", "ee"),
            film("f6", "dora", "ff"),
        )
        left_out = films_to_leave_out(films, TRAINED, same_ids=True)
        assert left_out.patients_by_id == ("anna",)
        assert left_out.patients_by_film == ("0815", "4711")
        assert left_out.films == ("f1", "f2", "f3", "f4", "f5")

    def test_of_films_that_stand_there_twice_the_first_one_stays(self) -> None:
        films = (film("f1", "clara", "cc"), film("f2", "dora", "cc"), film("f3", "dora", "dd"))
        left_out = films_to_leave_out(films, TRAINED, same_ids=True)
        assert left_out == LeftOut(repeated_films=("f2",), films=("f2",))

    def test_of_films_with_two_labels_none_stays(self) -> None:
        films = (
            film("f1", "clara", "cc"),
            film("f2", "dora", "cc", Label.MALIGNANT),
            film("f3", "dora", "dd", Label.MALIGNANT),
        )
        left_out = films_to_leave_out(films, TRAINED, same_ids=True)
        assert left_out == LeftOut(contradictory_films=("f1", "f2"), films=("f1", "f2"))
