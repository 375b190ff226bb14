"""The film on the page: heat map, outline, window and level, zoom and pan, by mouse, finger and keyboard."""

from typing import Any

import numpy as np
import pytest

from tests.support.page.browsing import bare, choose, colourless, drawn, said, slide

# playwright's wait_for_function won't do: it takes eval, which the page's policy forbids
SCROLLED = "() => new Promise((done) => (function look() { scrollY ? done() : requestAnimationFrame(look); })())"


def drag(page: Any, dx: float, dy: float) -> None:
    box = page.locator("canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy)
    page.mouse.up()


class TestPageViewer:
    def test_nothing_is_displaced_on_a_film_that_was_read_smaller_than_it_is(self, page: Any) -> None:
        choose(page)
        whole = drawn(page)
        choose(page, b"dicom")
        assert (drawn(page) == whole).mean() > 0.995, "film, outline and heat map lie where they lie on the small one"

    def test_the_heat_map_covers_the_film_as_far_as_the_slider_says(self, page: Any) -> None:
        choose(page)
        page.click("#outline")
        assert not colourless(drawn(page))
        slide(page, "heat", 0)
        film = drawn(page)
        assert colourless(film)
        assert said(page, "heat-value") == "off"
        slide(page, "heat", 50)
        half = np.abs(drawn(page).astype(int) - film).mean()
        slide(page, "heat", 100)
        assert np.abs(drawn(page).astype(int) - film).mean() > 1.5 * half > 0
        page.focus("canvas")
        page.keyboard.press("h")
        assert (drawn(page) == film).all()

    def test_the_outline_is_drawn_and_taken_away(self, page: Any) -> None:
        choose(page)
        slide(page, "heat", 0)
        outlined = drawn(page)
        page.click("#outline")
        assert page.get_attribute("#outline", "aria-pressed") == "false"
        changed = (drawn(page) != outlined).any(axis=2)
        assert colourless(drawn(page))
        assert 0.001 < changed.mean() < 0.03
        page.focus("canvas")
        page.keyboard.press("o")
        assert (drawn(page) == outlined).all()

    def test_window_and_level_by_slider_key_and_drag(self, page: Any) -> None:
        choose(page)
        bare(page)
        film = drawn(page)
        slide(page, "window", 100)
        narrow = drawn(page)
        assert narrow.std() > film.std()
        slide(page, "level", 200)
        assert drawn(page).mean() < narrow.mean()

        page.click("#reset")
        assert (drawn(page) == film).all()
        page.focus("canvas")
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+ArrowUp")
        assert (said(page, "window-value"), said(page, "level-value")) == ("248", "136")
        page.keyboard.press("0")

        page.check("input[value=window]", force=True)
        drag(page, -100, 0)
        assert said(page, "window-value") == "206"
        page.click("#reset")
        page.click("#invert")
        inverted = drawn(page)
        inside = slice(film.shape[1] // 2 - 20, film.shape[1] // 2 + 20)  # beside the film the canvas stays empty
        assert np.abs(inverted[:, inside].astype(int) + film[:, inside] - 255).max() <= 2

    def test_zoom_and_pan_by_key_wheel_and_drag(self, page: Any) -> None:
        choose(page)
        bare(page)
        fitted = drawn(page)
        page.focus("canvas")
        page.keyboard.press("ArrowRight")
        assert (drawn(page) == fitted).all(), "a film that fits stays where it is"
        for _ in range(4):
            page.keyboard.press("+")
        zoomed = drawn(page)
        assert said(page, "zoom") == "244%"
        page.keyboard.press("ArrowRight")
        panned = drawn(page)
        stride = round(panned.shape[1] / 10)
        assert np.abs(panned[:, :-stride].astype(int) - zoomed[:, stride:]).mean() < 1
        drag(page, stride, 0)
        assert np.abs(drawn(page).astype(int) - zoomed).mean() < 1
        page.keyboard.press("-")
        assert said(page, "zoom") != "244%"
        page.keyboard.press("0")
        assert (drawn(page) == fitted).all()

        page.hover("canvas")
        page.mouse.wheel(0, -300)
        page.wait_for_selector("#zoom:has-text('182%')")
        assert page.evaluate("scrollY") == 0
        page.click("#reset")
        page.hover("canvas")
        page.mouse.wheel(0, 200)
        page.evaluate(SCROLLED)

    @pytest.mark.parametrize("settings", [{"viewport": {"width": 360, "height": 740}, "has_touch": True}])
    def test_two_fingers_zoom(self, page: Any) -> None:
        choose(page)
        page.locator("canvas").scroll_into_view_if_needed()
        box = page.locator("canvas").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        fingers = page.context.new_cdp_session(page)
        for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80), ("touchEnd", None)):
            points = [] if apart is None else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        assert said(page, "zoom") == "200%"
