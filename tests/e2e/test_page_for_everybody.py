"""The page on a phone, by keyboard, for screen readers, for weak eyes and for those who want no motion."""

from itertools import pairwise
from typing import Any

import pytest

from tests.support.page.browsing import FILM, choose, choose_exam
from tests.support.page.exam_answers import ExamSpec

MARKED = ExamSpec(score=0.9, implant=True, applies=False, modifiers=("magnification",))

# every visible text with less than 4.5:1 against the nearest opaque background
FAINT = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = numbers(colour).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter((element) => element.checkVisibility())
    .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((element) => {
      const [low, high] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => a - b);
      return [(high + 0.05) / (low + 0.05), element.textContent.trim().slice(0, 40)];
    })
    .filter(([ratio]) => ratio < 4.5);
}"""
NAMELESS = """() => [...document.querySelectorAll("button, input, select, canvas, dialog, section, [role$=group]")]
  .filter((element) => {
    const named = element.getAttribute("aria-labelledby");
    const label = element.labels?.[0]?.textContent ?? (named ? document.getElementById(named)?.textContent : "");
    const own = element.matches("button") ? element.textContent : "";
    return !(element.getAttribute("aria-label") || label || own).trim();
  })
  .map((element) => element.outerHTML.slice(0, 80))"""
HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5")]
  .filter((heading) => heading.checkVisibility())
  .map((heading) => Number(heading.tagName[1]))"""


class TestPageForEverybody:
    @pytest.mark.parametrize("settings", [{"viewport": {"width": 360, "height": 740}}])
    def test_a_phone_scrolls_down_only(self, page: Any) -> None:
        def too_wide() -> bool:
            return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))

        assert not too_wide()
        choose(page, b"hand", name="a_film_with_a_very_long_name_and_no_place_to_break_it_0123456789.pgm")
        assert not too_wide()
        choose(page)
        page.eval_on_selector_all("details", "all => all.forEach((each) => (each.open = true))")
        page.evaluate("document.getElementById('copy').click()")
        page.wait_for_selector("text=Intended use")
        assert not too_wide()
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        assert page.locator(".notice").bounding_box()["y"] == 0, "what it is not stays in sight"

    def test_everything_is_reached_by_tab_in_the_order_of_reading(self, page: Any) -> None:
        choose(page)
        tools = ("smaller", "larger", "move", "outline", "invert", "reset", "heat", "window", "level", "preset")
        order = (
            "Film mdb010.pgm: right breast, mediolateral oblique",
            *tools,
            "screening",
            "stated-side",
            "stated-view",
            "copy",
            "Model card: use, limits, figures",
            "Timings and request",
        )
        for expected in order:
            page.keyboard.press("Tab")
            name = page.evaluate(
                "(({ activeElement: at }) => at.id || at.value || at.ariaLabel || at.textContent.trim())(document)"
            )
            assert name == expected
            ringed = "(({ activeElement: at }) => (at.name ? at.nextElementSibling : at))(document)"
            assert page.evaluate(f"getComputedStyle({ringed}).outlineStyle") == "solid", (
                f"{name} shows that it has the focus"
            )
        page.reload()
        first = []
        for _ in range(3):
            page.keyboard.press("Tab")
            first.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        assert first == ["Skip to the films", "key-open", "file"]

    @pytest.mark.parametrize("settings", [{"color_scheme": "light"}, {"color_scheme": "dark"}])
    def test_names_landmarks_and_contrast(self, page: Any) -> None:
        assert page.evaluate("document.documentElement.lang") == "en"
        assert page.locator("h1").count() == 1
        assert [page.locator(landmark).count() for landmark in ("header", "main", "footer")] == [1, 1, 1]
        ids = page.eval_on_selector_all("[id]", "all => all.map((each) => each.id)")
        assert len(ids) == len(set(ids))
        assert page.evaluate(FAINT) == []
        for film in (FILM, b"normal", b"uncertain", b"dicom", b"hand"):
            choose(page, film)
            page.eval_on_selector_all("details", "all => all.forEach((each) => (each.open = true))")
            page.wait_for_selector("h4, #problem:not([hidden])", state="attached")  # the card's come last
            assert page.evaluate(FAINT) == []
            levels = page.evaluate(HEADINGS)
            assert all(below - above <= 1 for above, below in pairwise(levels)), f"no level is left out: {levels}"
            assert levels[:2] == [1, 2]
        choose_exam(page, MARKED, ExamSpec(side="L", score=0.44), ExamSpec(problem="hand"))
        page.wait_for_selector("h4", state="attached")
        assert page.evaluate(FAINT) == []
        levels = page.evaluate(HEADINGS)
        assert all(below - above <= 1 for above, below in pairwise(levels)), f"no level is left out: {levels}"
        assert page.evaluate(NAMELESS) == []
        page.click("#key-open")
        assert page.evaluate(FAINT) == []

    @pytest.mark.parametrize("settings", [{"reduced_motion": "reduce"}])
    def test_nothing_moves_for_those_who_want_no_motion(self, page: Any) -> None:
        page.evaluate("document.body.dataset.state = 'busy'")
        assert page.evaluate("document.getAnimations().length") == 0
