"""Films that are judged, and the reasons of those that are not."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from services.gateway.eligibility import is_complete, refusal_of
from services.gateway.films import film_set, hashed, read_header
from shared.errors import UndecodableImage
from tests.support.gateway import changed, four_films

FILM = four_films()[0]


def _modified(code: str) -> list[Dataset]:
    view, modifier = Dataset(), Dataset()
    modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = code, "SCT", "x"
    view.CodeValue, view.CodingSchemeDesignator, view.CodeMeaning = "399162004", "SCT", "cranio-caudal"
    view.ViewModifierCodeSequence = [modifier]
    return [view]


class TestRefusalOf:
    @pytest.mark.parametrize(
        ("elements", "code"),
        [
            ({}, None),
            ({"PresentationIntentType": "FOR PROCESSING"}, "for-processing"),
            ({"QualityControlImage": "YES"}, "quality-control"),
            ({"NumberOfFrames": 3}, "multi-frame"),
            ({"NumberOfFrames": 1}, None),
            ({"BurnedInAnnotation": "YES"}, "burned-in-annotation"),
            ({"BreastImplantPresent": "YES"}, "implant"),
            ({"PartialView": "YES"}, "special-view"),
            ({"ViewCodeSequence": _modified("399055006")}, "special-view"),
            ({"ViewCodeSequence": _modified("399163009")}, "special-view"),
            ({"ViewCodeSequence": _modified("399161006")}, None),
        ],
    )
    def test_film_is_refused_for_what_its_header_says(self, elements: dict[str, Any], code: str | None) -> None:
        found = refusal_of(read_header(changed(FILM, **elements)))
        assert (found and found.code) == code

    def test_implants_are_judged_where_that_is_wanted(self) -> None:
        film = read_header(changed(FILM, BreastImplantPresent="YES"))
        assert refusal_of(film, "process") is None


class TestIsComplete:
    def test_exam_is_complete_with_both_standard_views_of_both_breasts(self) -> None:
        films = [read_header(film) for film in four_films()]
        assert is_complete(films)
        assert not is_complete(films[:3])
        assert not is_complete([*films[:3], read_header(changed(four_films()[3], BreastImplantPresent="YES"))])


class TestEligibility:
    @pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
    @pytest.mark.parametrize("value", ["", "../1.2", "1.2/3", "x" * 10])
    def test_file_without_valid_uids_is_rejected_without_quoting_it(self, keyword: str, value: str) -> None:
        with pytest.raises(UndecodableImage, match=keyword) as raised:
            read_header(changed(FILM, **{keyword: value}))
        assert not value or value not in str(raised.value)

    @pytest.mark.parametrize("data", [b"", b"x" * 1000, FILM[:200]])
    def test_what_is_no_dicom_file_is_rejected(self, data: bytes) -> None:
        with pytest.raises(UndecodableImage):
            read_header(data)

    def test_set_of_films_does_not_depend_on_their_order(self) -> None:
        hashes = [hashed(uid) for uid in ("1.2", "1.3")]
        assert film_set(hashes) == film_set([*reversed(hashes), hashes[0]])
        assert film_set(hashes) != film_set(hashes[:1])
