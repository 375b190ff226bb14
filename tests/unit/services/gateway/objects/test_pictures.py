"""Pictures, presentation states and segmentations: they show the decision, and nothing where there is none."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from services.gateway.eligibility import Refusal
from services.gateway.films import read_header
from services.gateway.objects import presentation_state, secondary_capture, segmentation
from services.gateway.objects.heat import region_of
from services.gateway.objects.picture import draw
from shared.imaging.formats.dicom_writer import dicom_bytes
from tests.support.gateway import finding, four_films, problem, report

FILMS = four_films()
GREEN = np.array([0, 255, 0])


class TestPictures:
    def test_picture_shows_outline_and_heat_of_a_suspicious_film(self) -> None:
        found = report(FILMS)
        pixels = draw(found, found.films[0], FILMS[0])
        film = pixels[-1280:]
        assert film.shape == (1280, 960, 3)
        assert (film == GREEN).all(axis=2).any()
        at_peak, elsewhere = film[630:650, 230:250].mean(axis=(0, 1)), film[630:650, 800:820].mean(axis=(0, 1))
        assert at_peak[0] - at_peak[2] > 60
        assert abs(elsewhere[0] - elsewhere[2]) < 2

    def test_picture_of_a_normal_film_has_no_heat(self) -> None:
        found = report(FILMS)
        film = draw(found, found.films[1], FILMS[1])[-1280:]
        assert (film == GREEN).all(axis=2).any()
        grey = (film[..., 0] == film[..., 1]) & (film[..., 1] == film[..., 2])
        assert grey.mean() > 0.95

    @pytest.mark.parametrize("refused", [problem(), Refusal("implant", "an implant is present")])
    def test_picture_of_a_refused_film_has_no_marks(self, refused: Refusal) -> None:
        found = report(FILMS, (refused, "normal", "normal", "normal"))
        film = draw(found, found.films[0], FILMS[0])[-1280:]
        assert not (film == GREEN).all(axis=2).any()

    def test_picture_of_a_film_that_cannot_be_decoded_has_the_words_alone(self) -> None:
        found = report(FILMS, (problem("undecodable-image"), "normal", "normal", "normal"))
        pixels = draw(found, found.films[0], FILMS[0][:3000])
        assert not pixels[-1280:].any()
        assert pixels[:-1280].any()

    def test_region_is_where_the_heat_is(self) -> None:
        found = report(FILMS)
        region = region_of(found.films[0])
        assert region is not None
        xs, ys = np.array(region.outline).T
        assert region.outline[0] == region.outline[-1]
        assert (abs(xs.mean() - 76) < 6, abs(ys.mean() - 201) < 6) == (True, True)
        assert abs(region.centre[0] - 76) < 20
        assert region_of(found.films[1]) is None

    def test_region_is_none_where_the_model_does_not_apply(self) -> None:
        odd = finding(read_header(FILMS[0]), "abnormal", applies=False, reasons=["x"])
        assert region_of(report(FILMS, (odd, "normal", "normal", "normal")).films[0]) is None

    def test_secondary_capture_holds_the_picture_and_names_its_film(self) -> None:
        found = report(FILMS)
        written = _read(secondary_capture.build(found, found.films[0], lambda _uid: FILMS[0]))
        assert np.array_equal(written.pixel_array, draw(found, found.films[0], FILMS[0]))
        assert written.SourceImageSequence[0].ReferencedSOPInstanceUID == read_header(FILMS[0]).sop_uid
        assert (written.BurnedInAnnotation, written.Modality) == ("YES", "OT")

    def test_presentation_state_has_an_outline_for_each_judged_film(self) -> None:
        state = presentation_state.build(report(FILMS, ("abnormal", "normal", problem(), "normal")))
        assert state is not None
        assert len(state.GraphicAnnotationSequence) == 3
        assert presentation_state.build(report(FILMS, (problem(),) * 4)) is None

    def test_segmentation_covers_the_outline(self) -> None:
        found = report(FILMS)
        region = segmentation.build(found, found.films[0])
        assert region is not None
        mask = _read(region).pixel_array
        assert (mask[200, 100], mask[5, 5]) == (1, 0)
        assert segmentation.build(report(FILMS, (problem(), *["normal"] * 3)), found.films[0]) is not None


def _read(found: Dataset) -> Dataset:
    return pydicom.dcmread(io.BytesIO(dicom_bytes(found)))
