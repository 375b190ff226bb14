"""The films of an exam on the page: where they hang, what stands next to each, and what is said of all together."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.page.browsing import SETTLED, bare, choose_exam, colourless, drawn, facts, said, slide
from tests.support.page.exam_answers import ExamSpec
from tests.support.page.stub import Stub

R_CC, L_CC = ExamSpec(side="R", view="CC"), ExamSpec(side="L", view="CC")
R_MLO, L_MLO = ExamSpec(side="R", view="MLO", score=0.9), ExamSpec(side="L", view="MLO", score=0.44)
SCREENING = (L_MLO, R_CC, L_CC, R_MLO)
PLACES = "all => all.map((each) => (each.querySelector('strong') ?? each).textContent)"


def places(page: Any) -> list[str]:
    """What hangs in each place, row by row."""
    return list(page.eval_on_selector_all("#films > *", PLACES))


def notes(page: Any, place: int) -> list[str]:
    return list(page.locator("#films > *").nth(place).locator(".notes li").all_inner_texts())


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether pictures are alike but for the rounding of a mirrored drawing."""
    return bool(np.abs(one.astype(int) - other).mean() < 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two films in folders, and what else lies in the folders of an archive's disc."""
    for name, film in {"exam/b/L2.dcm": L_CC, "exam/a/R10.dcm": R_CC, "exam/a/R9.dcm": R_MLO}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(film.model_dump_json())
    for name in ("DICOMDIR", ".DS_Store", "a/report.pdf"):
        (tmp_path / "exam" / name).write_text("no film")
    return tmp_path / "exam"


def drop(page: Any, *paths: Path) -> None:
    """Drop files or folders as the system does, so that the browser gives entries for them."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 300, "data": data})


HANGS = {
    "R_MLO L_MLO": "R_MLO L_MLO",
    "R_MLO R_CC": "R_CC R_MLO",
    "R_CC L_CC R_CC": "R_CC L_CC|R_CC -L_CC",
    "R_CC/magnification R_MLO L_MLO": "R_MLO L_MLO|R_CC/magnification -L_CC",
    "R_CC R_MLO L_CC L_MLO ?": "R_CC L_CC|R_MLO L_MLO|?* ",
    "? R_CC ? L_MLO": "R_CC ?*|?* L_MLO",
    "? ? ?": "?* ?*|?* ",
    "L_? R_CC L_CC": "R_CC L_CC| L_?*",
    "R_ML R_XCCL L_ML": "R_ML L_ML|R_XCCL -L_XCCL",
}
"""Films as SIDE_VIEW/MODIFIER, `?` for what is not known, and the rows of their hang; `*` stands for a free place that
was taken in the order given, `-` for a film that is missing."""
HANG = """async (films) => {
  const { hang } = await import("/page/hanging.js");
  const known = (text) => (text === "?" ? null : text);
  const given = films.split(" ").map((name) => {
    const [, side, view, modifier] = name.match(/^(.)(?:_([A-Z?]+))?(?:[/](.+))?$/);
    return { name, side: known(side), view: known(view ?? "?"), modifiers: modifier ? [modifier] : [] };
  });
  const shown = ({ film, inOrder, missing }) =>
    film ? film.name + (inOrder ? "*" : "") : missing ? `-${missing.side}_${missing.view}` : "";
  return hang(given).rows.map((row) => row.map(shown).join(" ")).join("|");
}"""


class TestPageExam:
    def test_films_hang_right_and_left_with_cc_over_mlo_and_the_chest_walls_in_the_middle(self, page: Any) -> None:
        choose_exam(page, *SCREENING)
        assert places(page) == ["R CC", "L CC", "R MLO", "L MLO"]
        boxes = [page.locator("canvas").nth(at).bounding_box() for at in range(4)]
        assert boxes[0]["x"] + boxes[0]["width"] == boxes[1]["x"], "the two breasts meet"
        assert boxes[0]["y"] == boxes[1]["y"] < boxes[2]["y"] == boxes[3]["y"]
        bare(page)
        right, left = drawn(page, 0), drawn(page, 1)
        assert same(right[:, ::-1], left)
        assert right[:, : right.shape[1] // 8].max() == 0, "a film keeps to the middle of the hang"
        assert right[:, -right.shape[1] // 16 :].max() > 60, (
            "what lies between film's edge and chest wall is out of sight"
        )

    def test_a_film_whose_chest_wall_would_face_outwards_is_mirrored_and_says_so(self, page: Any) -> None:
        choose_exam(page, R_CC, L_CC)
        bare(page)
        usual = drawn(page, 0)
        choose_exam(page, R_CC.model_copy(update={"wall": "left"}), L_CC)
        bare(page)
        assert same(drawn(page, 0), usual)
        assert notes(page, 0) == ["Shown mirrored, so that the chest walls face each other."]
        assert notes(page, 1) == []

    def test_a_refused_film_hangs_in_the_free_place_with_its_reason_and_the_others_are_answered(
        self, page: Any
    ) -> None:
        choose_exam(page, R_CC, ExamSpec(problem="hand"), R_MLO, L_MLO)
        assert places(page) == ["R CC", "Refused: film1.dcm", "R MLO", "L MLO"]
        refused = page.inner_text("#films .refused")
        assert "Not recognised as a mammogram. There is no straight chest wall; send one whole mammogram." in refused
        assert "Choose the film of one breast, whole" in refused
        assert "shown in a free place" in refused
        assert page.inner_text("#exam-count") == "1 film of 4 refused: the answers leave it out."
        assert "Refused: not recognised as a mammogram" in page.inner_text("#exam-films")
        assert page.inner_text("#answer").startswith("Abnormal")

    def test_an_exam_of_which_every_film_is_refused_shows_each_reason(self, page: Any) -> None:
        choose_exam(page, ExamSpec(problem="hand"), ExamSpec(problem="pdf"))
        assert page.inner_text("#problem-title") == "No film could be judged"
        assert places(page) == ["Refused: film0.dcm", "Refused: film1.dcm"]
        assert "the file is a PDF" in page.inner_text("#films").lower().replace("pdf", "PDF")
        assert not page.is_visible("#decision")
        assert not page.is_visible("#larger")
        choose_exam(page, *SCREENING)
        assert page.is_visible("#larger")

    def test_a_film_of_unknown_view_hangs_in_the_order_given_and_a_missing_one_is_named(self, page: Any) -> None:
        choose_exam(page, ExamSpec(side="R", view=None), R_CC, L_CC, L_MLO)
        assert places(page) == ["R CC", "L CC", "R, view not known", "L MLO"]
        assert notes(page, 2) == [
            "Its view is not known, so it is shown in the order given; state it under “Correct the view”."
        ]
        choose_exam(page, R_CC, L_CC, L_MLO)
        assert places(page) == ["R CC", "L CC", "No right MLO film", "L MLO"]

    def test_side_and_view_can_be_stated_where_the_file_does_not_say_them(self, page: Any) -> None:
        choose_exam(page, ExamSpec(side="R", view=None), R_CC, L_CC, R_MLO)
        page.click("#exam-films button:has-text('R, view not known')")
        page.select_option("#stated-view", "MLO")
        page.wait_for_selector("#films strong:has-text('R MLO') >> nth=1")
        page.select_option("#stated-side", "L")
        page.wait_for_selector("#film-title:has-text('Film L MLO')")
        assert places(page) == ["R CC", "L CC", "R MLO", "L MLO"]
        assert page.input_value("#stated-view") == "MLO"
        choose_exam(page, ExamSpec(side="R", view=None), L_CC)
        assert page.input_value("#stated-view") == "", "it is stated about the films that were there"
        assert places(page)[0] == "R, view not known"

    def test_marks_disagreements_and_applicability_stand_next_to_the_film(self, page: Any) -> None:
        disagreement = "the breast is said to be R, but the chest wall is on the left, as on films of L"
        marked = R_CC.model_copy(update={"implant": True, "modifiers": ("magnification",), "applies": False})
        choose_exam(page, marked, L_CC.model_copy(update={"disagreements": (disagreement,), "source": "shape"}))
        assert places(page)[:3] == ["No right CC film", "L CC", "R CC"]
        assert notes(page, 2) == [
            "The model was not trained on such films: its prediction is meaningless here.",
            "Implant present.",
            "Not a standard view: magnification.",
        ]
        assert notes(page, 1) == [f"Check: {disagreement}.", "Side and view inferred from the shape of the breast."]
        assert page.inner_text("#applies").startswith(
            "Not made for such films. R CC: The model was not trained on such"
        )
        choose_exam(page, R_CC, L_CC)
        assert not page.is_visible("#applies")

    def test_the_exam_the_breasts_and_the_films_are_answered_in_words(self, page: Any) -> None:
        choose_exam(page, *SCREENING)
        assert page.inner_text("#answer").split("\n") == [
            "Abnormal",
            "at the operating point “screening”; the right breast decides",
        ]
        rows = [re.split(r"\s*[\t\n]\s*", row) for row in page.locator("#breasts tr").all_inner_texts()]
        assert rows == [["Right", "R CC, R MLO", "Abnormal", "0.90"], ["Left", "L MLO, L CC", "Uncertain", "0.44"]]
        films = [re.split(r"\s*[\t\n]\s*", row) for row in page.locator("#exam-films tr").all_inner_texts()]
        assert films[0] == ["L MLO", "film0.dcm", "Uncertain", "0.44"]
        assert "the model’s card has none by exam" in page.inner_text("#figures-caption")
        assert page.inner_text("#rule").startswith("A breast has the mean of the calibrated log-odds")
        live = page.text_content("#live")
        assert live.startswith("4 films, 0 refused. Exam: Abnormal, at the operating point screening.")
        assert page.evaluate("document.activeElement.id") == "answer"

        page.click("#exam-films button:has-text('L MLO')")
        assert page.inner_text("#film-title") == "Film L MLO"
        assert facts(page)["Answer"] == "Uncertain: needs a reader. Score 0.44, threshold 0.41."
        before = drawn(page, 0)
        page.check("input[value=balanced]", force=True)
        page.wait_for_selector("#answer:has-text('balanced')")
        assert page.locator("#films .title").nth(3).inner_text() == "L MLO Normal, score 0.44"
        assert facts(page)["Answer"] == "Normal. Score 0.44, threshold 0.55."
        assert (drawn(page, 0) == before).all()

    def test_zoom_and_place_follow_mirrored_in_linked_films_and_not_in_others(self, page: Any) -> None:
        choose_exam(page, *SCREENING)
        bare(page)
        page.locator("canvas").nth(0).focus()
        fitted = drawn(page, 1)
        for _ in range(4):
            page.keyboard.press("+")
        page.keyboard.press("ArrowLeft")
        right = drawn(page, 0)
        assert not same(drawn(page, 1), fitted)
        assert same(right[:, ::-1], drawn(page, 1)), "the left breast is moved to the right"
        assert same(right, drawn(page, 2))
        page.keyboard.press("l")
        assert page.get_attribute("#link", "aria-pressed") == "false"
        page.keyboard.press("ArrowRight")
        assert not same(right, drawn(page, 0))
        assert same(right, drawn(page, 2))
        page.keyboard.press("l")
        assert same(drawn(page, 0), drawn(page, 2)), "films that are linked again go to the same place"
        page.keyboard.press("0")
        assert (drawn(page, 1) == fitted).all()

    def test_window_outline_and_heat_are_those_of_one_film_where_films_are_not_linked(self, page: Any) -> None:
        choose_exam(page, *SCREENING)
        bare(page)
        film = drawn(page, 0)
        assert colourless(drawn(page, 3))
        slide(page, "window", 100)
        assert not same(drawn(page, 3), film)
        page.click("#reset")
        page.click("#link")
        page.locator("canvas").nth(3).focus()
        page.keyboard.press("h")
        page.keyboard.press("Shift+ArrowLeft")
        assert said(page, "window-value") == "248"
        assert not colourless(drawn(page, 3))
        assert (drawn(page, 0) == film).all()
        page.locator("canvas").nth(0).focus()
        assert (said(page, "window-value"), said(page, "heat-value")) == ("256", "off")

    def test_films_of_known_spacing_are_shown_at_one_scale(self, page: Any) -> None:
        choose_exam(page, *(film.model_copy(update={"spacing": 0.1}) for film in (R_CC, L_CC)))
        bare(page)
        alike = drawn(page, 0)
        choose_exam(page, R_CC.model_copy(update={"spacing": 0.06}), L_CC.model_copy(update={"spacing": 0.1}))
        bare(page)
        small = drawn(page, 0)
        heights = [np.ptp(np.flatnonzero((picture > 60).any(axis=(1, 2)))) for picture in (alike, small)]
        assert heights[1] / heights[0] == pytest.approx(0.6, abs=0.04)

    def test_keys_go_between_films_and_enlarge_one(self, page: Any) -> None:
        def at() -> str:
            return str(page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.id"))

        choose_exam(page, *SCREENING)
        page.keyboard.press("Tab")
        assert at() == "Film film1.dcm: right breast, craniocaudal"
        page.keyboard.press("Tab")
        assert at() == "Film film2.dcm: left breast, craniocaudal"
        page.keyboard.press("ArrowDown")
        assert at() == "Film film0.dcm: left breast, mediolateral oblique"
        assert page.inner_text("#film-title") == "Film L MLO"
        page.keyboard.press("Enter")
        assert page.locator("canvas:visible").count() == 1
        page.keyboard.press("ArrowLeft")
        assert at() == "Film film3.dcm: right breast, mediolateral oblique"
        assert page.locator("canvas:visible").count() == 1
        page.keyboard.press("Escape")
        assert page.locator("canvas:visible").count() == 4
        for key in ("Tab", "Arrows", "Shift", "W", "H", "O", "I", "L", "Enter", "Esc", "0"):
            assert page.locator(f"#keys kbd:text-is('{key}')").is_visible()

    def test_the_windows_of_a_file_are_offered_and_the_first_is_used(self, page: Any) -> None:
        windows = (("NORMAL", 100.0, 120.0), ("HARDER", 90.0, 60.0))
        choose_exam(page, R_CC.model_copy(update={"windows": windows}), L_CC)
        assert page.locator("#preset option").all_inner_texts() == ["NORMAL", "HARDER", "Full range", "Your own"]
        assert (said(page, "window-value"), said(page, "level-value")) == ("120", "100")
        page.locator("canvas").nth(0).focus()
        page.keyboard.press("w")
        assert (said(page, "window-value"), said(page, "level-value")) == ("60", "90")
        page.select_option("#preset", "2")
        assert said(page, "window-value") == "256"
        slide(page, "window", 200)
        assert page.eval_on_selector("#preset", "select => select.selectedOptions[0].text") == "Your own"

    @pytest.mark.parametrize("settings", [{"viewport": {"width": 360, "height": 740}, "has_touch": True}])
    def test_a_phone_shows_two_films_side_by_side_and_scrolls_down_only(self, page: Any) -> None:
        choose_exam(page, R_CC, ExamSpec(problem="hand"), ExamSpec(side="R", view=None, applies=False), L_MLO)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        boxes = [page.locator("canvas").nth(at).bounding_box() for at in range(3)]
        assert all(box["width"] == 180 and box["height"] > 150 for box in boxes)
        page.locator("canvas").nth(1).tap()
        page.click("#enlarge")
        assert page.locator("canvas:visible").bounding_box()["width"] == 360
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def test_the_films_of_a_dropped_folder_are_an_exam(self, page: Any, folder: Path) -> None:
        drop(page, folder)
        page.wait_for_selector(SETTLED)
        assert places(page) == ["R CC", "L CC", "R MLO", "No left MLO film"]
        names = [row.split("\n")[1].split("\t")[0].strip() for row in page.locator("#exam-films th").all_inner_texts()]
        assert names == ["R9.dcm", "R10.dcm", "L2.dcm"]
        assert page.inner_text("#film-facts") == "3 other files in the folder passed over"

    def test_a_folder_can_be_chosen(self, page: Any, folder: Path) -> None:
        page.set_input_files("#folder", folder)
        page.wait_for_selector(SETTLED)
        assert places(page) == ["R CC", "L CC", "R MLO", "No left MLO film"]

    def test_several_dropped_files_are_an_exam(self, page: Any, folder: Path) -> None:
        drop(page, folder / "a" / "R10.dcm", folder / "b" / "L2.dcm")
        page.wait_for_selector(SETTLED)
        assert places(page) == ["R CC", "L CC"]

    def test_more_films_than_an_exam_has_are_not_sent_and_an_empty_folder_is_told(
        self, page: Any, stub: Stub, tmp_path: Path
    ) -> None:
        choose_exam(page, *[R_CC] * 13)
        assert page.inner_text("#problem-title") == "Too many films"
        assert page.text_content("#problem-detail") == "these are 13 films; an exam has at most 12"
        (tmp_path / "notes.txt").write_text("no film")
        page.set_input_files("#folder", tmp_path)
        page.wait_for_selector("#problem-title:has-text('No film found')")
        assert stub.keys == []

    def test_exams_of_other_shapes_hang_in_rows_of_two(self, page: Any) -> None:
        assert {films: page.evaluate(HANG, films) for films in HANGS} == HANGS
