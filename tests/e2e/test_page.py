"""The page in a real browser, over a stub of the service: from a film to an answer in words, or to a refusal."""

import re
from typing import Any

import pytest

from tests.support.page.browsing import FILM, choose, colourless, drawn, facts
from tests.support.page.stub import Stub, running


class TestPage:
    def test_a_chosen_film_is_answered_in_words_with_figures_bars_model_and_card(self, page: Any) -> None:
        choose(page)
        assert page.inner_text("#answer").split("\n") == ["Abnormal", "at the operating point “screening”"]
        assert "0.90: at or above the threshold of 0.41" in page.inner_text("#answer-means")
        assert page.inner_text("#sensitivity").split("\t")[1:] == ["91%", "80% to 97%"]
        assert page.inner_text("#specificity").split("\t")[1:] == ["40%", "30% to 50%"]
        bars = "Normal 10.0% Benign finding 22.5% Malignant finding 67.5%"
        assert " ".join(page.inner_text("#bars").split()) == bars
        share = "bars => bars.map((bar) => bar.clientWidth / bar.parentNode.clientWidth)"
        widths = page.eval_on_selector_all("#bars i", share)
        assert widths == pytest.approx([0.1, 0.225, 0.675], abs=0.01)
        assert "far more cancers than screening" in page.inner_text("#calibration")
        assert "SYNTHETIC" in page.inner_text("#synthetic")
        assert page.inner_text("#film-facts") == "PGM · 1024 × 1024 pixels · 8 bit"
        assert page.inner_text("#weights") == "model.onnx: 32-bit numbers on the CPU"
        assert re.fullmatch("[0-9a-f]{12}…", page.inner_text("#sha"))
        page.click("#card summary")
        for part in (
            "computer-aided reading",
            "earlier films are not",
            "68% to 84%",
            "not known",
            "40 patients",
        ):
            assert part in page.inner_text("#card-body")
        page.click("text=Timings and request")
        assert "50.4 ms" in page.inner_text("#timings")
        assert page.inner_text("#request").startswith("5f0c6e1f")

    def test_what_was_read_from_the_file_is_told_as_far_as_it_is_known(self, page: Any) -> None:
        choose(page)
        check = "Passed: it has the shape and the skin line of a mammogram. Score 0.97, from 0 (certainly no"
        assert facts(page).pop("Mammogram check").startswith(check)
        assert set(facts(page)) == {"Format", "Size", "Side", "View", "Model made for it", "Mammogram check"}
        assert facts(page)["View"] == "MLO, mediolateral oblique, inferred from the shape of the breast, score 0.93"
        choose(page, b"dicom")
        assert page.inner_text("#film-facts") == "DICOM · right breast, MLO · 4096 × 4096 pixels · 12 bit"
        told = facts(page)
        assert told["Size"] == "4096 × 4096 pixels, 287 × 287\u00a0mm"
        assert told["Read at"].startswith("1/4 of this size")
        assert [told[name] for name in ("Pixel spacing", "Side", "View")] == [
            "0.07 mm",
            "right, as the file says",
            "MLO, mediolateral oblique, as the file says",
        ]

    def test_another_operating_point_changes_the_decision_and_leaves_the_film_as_it_is(self, page: Any) -> None:
        choose(page)
        page.click("#larger")
        zoomed = drawn(page)
        page.keyboard.press("Escape")
        page.focus("input[value=screening]")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#answer:has-text('balanced')")
        assert page.inner_text("#answer").startswith("Uncertain")
        assert "between 0.50 and 0.92" in page.inner_text("#answer-means").lower()
        assert page.inner_text("#sensitivity").split("\t")[1:] == ["78%", "66% to 88%"]
        assert page.inner_text("#specificity").split("\t")[1:] == ["72%", "60% to 81%"]
        assert "the same weight" in page.inner_text("#point-means")
        assert page.text_content("#live").startswith("Uncertain: needs a reader, at the operating point balanced.")
        assert page.evaluate("document.activeElement.value") == "balanced"
        assert (drawn(page) == zoomed).all()
        page.click("#card summary")
        assert "balanced, sensitivity\t78%\t66% to 88%" in page.inner_text("#card-body")
        choose(page)
        assert "“balanced”" in page.inner_text("#answer"), "it stays chosen for the next film"

    def test_a_model_that_was_promoted_meanwhile_answers_for_the_whole_film(self, page: Any, stub: Stub) -> None:
        choose(page)
        stub.version = "later"
        page.check("input[value=balanced]", force=True)
        page.wait_for_selector("#version:has-text('later')")
        assert "“balanced”" in page.inner_text("#answer")

    def test_a_dropped_film_is_read_and_focus_and_live_region_tell_of_it(self, page: Any) -> None:
        drop = page.evaluate_handle(
            """(bytes) => {
          const carried = new DataTransfer();
          carried.items.add(new File([Uint8Array.from(bytes)], "dropped.pgm"));
          return carried;
        }""",
            list(FILM[:64]),
        )
        page.dispatch_event("footer", "drop", {"dataTransfer": drop})
        page.wait_for_selector("#decision")
        assert page.inner_text("#intake-title") == "dropped.pgm"
        assert page.evaluate("document.activeElement.id") == "answer"
        assert page.text_content("#live").startswith("Abnormal, at the operating point screening.")

    def test_a_newer_film_takes_the_place_of_one_that_is_waited_for(self, page: Any) -> None:
        page.set_input_files("#file", {"name": "slow.pgm", "mimeType": "", "buffer": b"slow"})
        assert page.inner_text("#intake-title") == "Reading slow.pgm"
        choose(page)
        page.wait_for_timeout(600)
        assert page.inner_text("#intake-title") == "mdb010.pgm"
        assert page.inner_text("#answer").startswith("Abnormal")
        assert page.get_attribute("canvas", "aria-label") == "Film mdb010.pgm: right breast, mediolateral oblique"

    @pytest.mark.parametrize(
        ("film", "answer", "means"),
        [
            (b"normal", "Normal", "0.12: below the threshold"),
            (b"uncertain", "Uncertain: needs a reader", "0.44: too near the threshold of 0.41 to decide"),
        ],
    )
    def test_other_decisions(self, page: Any, film: bytes, answer: str, means: str) -> None:
        choose(page, film)
        assert page.inner_text("#answer").startswith(answer)
        assert means in page.inner_text("#answer-means")

    def test_a_network_without_a_heat_map_that_learned_from_real_films(self, page: Any) -> None:
        choose(page)
        choose(page, b"plain")
        page.click("#outline")
        assert colourless(drawn(page))
        assert page.is_disabled("#heat")
        assert page.inner_text("#heat-text") == "This network has no heat map."
        assert not page.is_visible("#synthetic")
        assert page.inner_text("#dataset") == "mias"

    def test_a_refused_film_shows_the_reason_and_what_to_do_and_nothing_of_the_film_before(self, page: Any) -> None:
        choose(page)
        choose(page, b"hand")
        assert page.inner_text("#problem-title") == "Not recognised as a mammogram"
        assert page.text_content("#problem-detail") == "there is no straight chest wall; send one whole mammogram"
        assert "not passed, with a score of 0.31, from 0 (certainly no mammogram)" in page.inner_text("#problem-gate")
        assert "Choose the film of one breast, whole" in page.inner_text("#problem-advice")
        assert page.text_content("#live").startswith("Not recognised as a mammogram: there is no straight chest wall")
        assert page.inner_text("#problem-request") == "Request 0f3e5c7a"
        assert page.evaluate("document.activeElement.id") == "problem-title"
        assert not page.is_visible("#again")
        assert not any(page.is_visible(part) for part in ("#decision", "#viewer", "#details"))

    @pytest.mark.parametrize(
        ("film", "title", "advice"),
        [
            (b"pdf", "Unsupported kind of file", "as DICOM, PNG, JPEG, TIFF or PGM"),
            (b"damaged", "The file cannot be read", "Export it again"),
        ],
    )
    def test_a_file_that_is_no_image_or_a_damaged_one(self, page: Any, film: bytes, title: str, advice: str) -> None:
        choose(page, b"hand")
        choose(page, film)
        assert page.inner_text("#problem-title") == title
        assert advice in page.inner_text("#problem-advice")
        assert not page.is_visible("#problem-gate")

    def test_a_service_that_is_not_ready_can_be_asked_again(self, browser: Any, stub: Stub) -> None:
        with running(stub) as url, browser.new_context() as context:
            page = context.new_page()
            page.goto(url)
            choose(page, b"early")
            assert "asks to wait 2 s" in page.inner_text("#problem-advice")
            page.click("#again")
            page.wait_for_selector("#problem")
            assert len(stub.keys) == 2
            context.set_offline(True)
            choose(page)
            assert page.inner_text("#problem-title") == "No answer"

    @pytest.mark.parametrize("stub", [Stub(key="s3cret")])
    def test_a_401_asks_for_the_key_and_sends_it_from_then_on(self, page: Any, stub: Stub) -> None:
        choose(page)
        assert page.evaluate("document.activeElement.id") == "key"
        page.keyboard.type("s3cret")
        page.keyboard.press("Enter")
        page.wait_for_selector("#decision")
        page.click("#card summary")
        page.wait_for_selector("text=Intended use")
        assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 1]
        page.reload()
        choose(page)
        assert stub.keys == [None, "Bearer s3cret", "Bearer s3cret"]
        page.click("#key-open")
        page.click("#key-forget")
        choose(page)
        assert page.is_visible("#key-dialog")
        page.keyboard.press("Escape")
        assert page.is_visible("#key-enter")
        assert stub.keys[-1] is None

    @pytest.mark.parametrize("stub", [Stub(key="s3cret")])
    def test_a_link_may_bring_the_key_which_does_not_stay_in_the_address(self, page: Any, stub: Stub) -> None:
        page.goto(f"{page.url}#key=s3cret")
        page.reload()
        assert "s3cret" not in page.url
        choose(page)
        page.wait_for_selector("#decision")
        assert stub.keys == ["Bearer s3cret"]
