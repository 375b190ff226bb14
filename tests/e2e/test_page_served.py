"""The page and the API's document in a real browser, over the real service: gunicorn, a published network, its key."""

import json
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import cv2
import numpy as np
import pytest

from shared.client import FilmUpload
from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.imaging.formats.decode import encode_png
from tests.support.dicoms import SECRET, dicom
from tests.support.page.browsing import bare, choose, colourless, drawn, facts, said, slide, watched
from tests.support.published import KEY, NETWORK
from tests.support.scenes import scene
from tests.support.serving import Served, published, running_service

PIXELS = render(np.random.default_rng(11), "right", "G", Label.MALIGNANT).pixels
PNG = encode_png(PIXELS)
DICOM = dicom(
    PIXELS.astype(np.uint16) * 16,
    BitsStored=12,
    ImageLaterality="R",
    ViewPosition="MLO",
    PixelSpacing=[0.2, 0.2],
)
DEEP_PIXELS = PIXELS.astype(np.uint16) * 16 + (np.arange(1024, dtype=np.uint16) % 16)
DEEP = dicom(
    DEEP_PIXELS,
    BitsStored=12,
    WindowCenter=["2048", "1500"],
    WindowWidth=["4096", "900"],
    WindowCenterWidthExplanation=["NORMAL", "HARDER"],
)
GREY_LEVELS = """async (file) => {
  const { Film, decodePng } = await import("/page/film.js");
  const api = await import("/page/api.js");
  const body = new File([Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0))], "film.dcm");
  const { view } = await api.predict([body], [], "screening");
  const film = new Film(await decodePng(view.png), view);
  const hash = await crypto.subtle.digest("SHA-256", film.grey);
  return [film.bits, [...new Uint8Array(hash)]];
}"""
METHODS = ("get", "post", "put", "delete")


@pytest.fixture(scope="module")
def served(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with running_service(published(folder / "store"), folder) as served:
        yield served


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    with watched(browser, f"{served.url}/#key={KEY}") as page:
        yield page


@pytest.fixture
def docs(browser: Any, served: Served, settings: dict[str, Any]) -> Iterator[Any]:
    with watched(browser, f"{served.url}/docs", **settings) as page:
        page.wait_for_selector(".opblock")
        yield page


def _places(page: Any) -> list[tuple[int, int, int, int]]:
    """Left, top, width and height on the canvas, of the outline and of the heat map."""
    slide(page, "heat", 0)
    outlined = drawn(page)
    page.click("#outline")
    film = drawn(page).astype(int)
    slide(page, "heat", 100)
    heated = drawn(page)
    page.click("#outline")
    boxes = []
    for picture, least in ((outlined, 12), (heated, 100)):  # the map fades out: its bright part has a place
        x, y, width, height = cv2.boundingRect((np.abs(picture - film) > least).any(axis=2).astype(np.uint8))
        boxes.append((x, y, width, height))
    return boxes


def _tried(block: Any) -> str:
    """The status that a route answered."""
    if block.locator(".btn-clear").count():
        block.locator(".btn-clear").click()
    block.locator(".execute").click()
    return str(block.locator(".live-responses-table .response .response-col_status").first.inner_text()).split()[0]


class TestPageServed:
    @pytest.mark.parametrize(("film", "name"), [(PNG, "film.png"), (DICOM, "IM000001")])
    def test_the_page_tells_what_the_api_answers(self, page: Any, served: Served, film: bytes, name: str) -> None:
        choose(page, film, name)
        answer = served.client.predict(film)
        assert page.inner_text("#verdict").startswith(answer.decision.answer.capitalize())
        shares = answer.probabilities.model_dump()
        bars = page.locator("#bars dd > span:first-child").all_inner_texts()
        assert bars == [f"{100 * shares[label]:.1f}%" for label in ("normal", "benign", "malignant")]
        assert page.inner_text("#bars .most dt").lower().startswith(answer.label)
        assert page.get_attribute("#sha", "data-whole") == answer.model.sha256
        assert page.inner_text("#weights").startswith("model.onnx")
        assert answer.gate.reason in facts(page)["Mammogram check"]
        page.click("#card summary")
        page.wait_for_selector("text=Intended use")

    def test_a_dicom_is_shown_with_what_its_header_tells_and_nothing_of_the_person(self, page: Any) -> None:
        choose(page, DICOM, "IM000001")
        assert page.inner_text("#film-facts") == "DICOM · right breast, MLO · 1024 × 1024 pixels · 12 bit"
        assert facts(page)["Size"].endswith("205 × 205\u00a0mm")
        assert SECRET not in page.content()
        bare(page)
        page.select_option("#preset", label="Full range")
        as_dicom = drawn(page)
        choose(page, PNG, "film.png")
        assert np.abs(drawn(page).astype(int) - as_dicom).max() <= 2

    def test_a_film_of_12_bits_is_shown_in_12_with_the_windows_of_its_file(self, page: Any) -> None:
        bits, digest = page.evaluate(GREY_LEVELS, b64encode(DEEP).decode())
        assert (bits, bytes(digest)) == (12, sha256(DEEP_PIXELS.astype("<u2").tobytes()).digest())
        choose(page, DEEP, "film.dcm")
        windows = page.locator("#preset option").all_inner_texts()
        assert windows == ["Normal", "Harder", "Fitted to the film", "Full range", "Your own"]
        assert (said(page, "window-value"), said(page, "level-value")) == ("4096", "2048")
        page.select_option("#preset", "1")
        assert (said(page, "window-value"), said(page, "level-value")) == ("900", "1500")
        bare(page)
        slide(page, "window", 2)
        slide(page, "level", 1602)
        lower = drawn(page)
        slide(page, "level", 1607)
        assert (drawn(page) != lower).any(), "levels that 8 bits don't tell apart are told apart"

    def test_the_films_of_an_exam_hang_by_what_the_service_says_of_them(self, page: Any, served: Served) -> None:
        films = {
            name: dicom(DEEP_PIXELS, BitsStored=12, ImageLaterality=name[0], ViewPosition=name[1:])
            for name in ("LMLO", "RCC", "RMLO")
        }
        sent = {**films, "letter.txt": b"Dear colleague"}
        files = [{"name": name, "mimeType": "", "buffer": data} for name, data in sent.items()]
        page.set_input_files("#file", files)
        page.wait_for_selector("[data-state=answered]")
        hung = page.locator("#films strong").all_inner_texts()
        assert hung == ["R CC", "Refused: letter.txt", "R MLO", "L MLO"]
        assert "Check: the side is L by its source, but the chest wall on the right" in page.inner_text("#films")
        answer = served.client.predict_exam([FilmUpload(film, name) for name, film in films.items()])
        assert answer.exam is not None
        assert page.inner_text("#score") == f"{answer.exam.decision.score:.2f}"

    def test_outline_and_heat_map_are_drawn_over_the_film(self, page: Any) -> None:
        choose(page, PNG)
        slide(page, "heat", 0)
        outlined = drawn(page)
        page.click("#outline")
        film = drawn(page)
        assert colourless(film)
        assert 0.001 < (film != outlined).any(axis=2).mean() < 0.03
        slide(page, "heat", 100)
        assert said(page, "heat-value") == "100%"
        assert not colourless(drawn(page))

    def test_what_is_drawn_of_a_film_that_is_read_smaller_lies_where_it_lies_on_the_small_one(
        self, page: Any, served: Served
    ) -> None:
        large = cv2.resize(PIXELS, (3072, 3072), interpolation=cv2.INTER_CUBIC)
        as_jpeg = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        assert served.client.predict(as_jpeg).image.reduction > 1
        choose(page, PNG)
        small = _places(page)
        choose(page, as_jpeg, "large.jpg")
        assert facts(page)["Read at"].startswith("1/")
        assert np.abs(np.subtract(_places(page), small)).max() <= 4

    def test_the_balanced_operating_point_is_the_services_own(self, page: Any, served: Served) -> None:
        choose(page, PNG)
        page.check("input[value=balanced]", force=True)
        page.wait_for_selector("#answer:has-text('balanced')")
        point = served.client.predict(PNG, operating_point="balanced").decision.operating_point
        assert page.inner_text("#threshold") == f"{point.threshold:.2f}"
        low, high = point.sensitivity.low, point.sensitivity.high
        assert low is not None
        assert high is not None
        assert page.inner_text("#sensitivity").endswith(f"{low:.0%} to {high:.0%}")

    def test_a_text_and_what_is_no_mammogram_are_refused_in_words(self, page: Any) -> None:
        choose(page, b"Dear colleague", "letter.txt")
        assert page.inner_text("#problem-title") == "Unsupported kind of file"
        assert "send PGM (P5), PNG, JPEG, TIFF or DICOM" in page.inner_text("#problem-detail")
        choose(page, PNG[:5000], "broken.png")
        assert page.inner_text("#problem-title") == "The file cannot be read"
        choose(page, encode_png(scene("hand", 5000)), "hand.png")
        assert page.inner_text("#problem-title") == "Not recognised as a mammogram"
        assert "not passed, with a score of 0." in page.inner_text("#problem-gate")
        assert page.inner_text("#problem-request").startswith("Request ")

    @pytest.mark.parametrize("settings", [{}, {"viewport": {"width": 375, "height": 812}}])
    def test_the_document_is_shown_whole_and_fits_a_phone(self, docs: Any, served: Served) -> None:
        document = json.loads(docs.request.get(f"{served.url}/openapi.json").body())
        operations = {
            (method.upper(), path) for path, item in document["paths"].items() for method in METHODS if method in item
        }
        shown = docs.locator(".opblock")
        assert {
            (
                block.locator(".opblock-summary-method").inner_text(),
                block.locator("[data-path]").get_attribute("data-path"),
            )
            for block in shown.all()
        } == operations
        assert shown.count() == len(operations)
        for path in ("/v1/predictions", "/v1/batches"):
            docs.locator(f".opblock:has([data-path='{path}']) .opblock-summary-control").first.click()
        assert docs.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def test_a_route_is_tried_with_the_key(self, docs: Any) -> None:
        models = docs.locator(".opblock:has([data-path='/v1/models'])")
        models.locator(".opblock-summary-control").click()
        models.locator(".try-out__btn").click()
        assert _tried(models) == "401"
        docs.click(".auth-wrapper .authorize")
        docs.fill(".modal-ux input", KEY)
        docs.click(".modal-ux .authorize")
        docs.click(".modal-ux .btn-done")
        assert _tried(models) == "200"
        assert NETWORK in models.locator(".live-responses-table .highlight-code").first.inner_text()
