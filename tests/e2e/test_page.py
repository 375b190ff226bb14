"""The page in a real browser, over a stub of the service, by mouse, finger and keyboard, on a desk and on a phone.

It takes the system's Chromium and downloads none.
"""

import base64
import re
import shutil
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.e2e.page_stub import Stub, film_file, running

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (apt-get install chromium)")

FILM = film_file()
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""
# playwright's wait_for_function won't do: it takes eval, which the page's policy forbids
SCROLLED = "() => new Promise((done) => (function look() { scrollY ? done() : requestAnimationFrame(look); })())"
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
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
NAMELESS = """() => [...document.querySelectorAll("button, input, canvas, dialog, section, [role$=group]")]
  .filter((element) => {
    const named = element.getAttribute("aria-labelledby");
    const label = element.labels?.[0]?.textContent ?? (named ? document.getElementById(named)?.textContent : "");
    const own = element.matches("button") ? element.textContent : "";
    return !(element.getAttribute("aria-label") || label || own).trim();
  })
  .map((element) => element.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def settings() -> dict[str, Any]:
    return {}


@pytest.fixture
def page(browser: Any, stub: Stub, settings: dict[str, Any]) -> Iterator[Any]:
    """A fresh page, which asks its own host only, breaks no policy and logs no error but that of a refused film."""
    asked: list[str] = []
    errors: list[str] = []
    options = {"viewport": {"width": 1360, "height": 900}, **settings}
    with running(stub) as url, browser.new_context(**options) as context:
        context.add_init_script(WATCH)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        yield page
        assert page.evaluate("window.violations") == []
        assert [error for error in errors if "the server responded with a status of 4" not in error] == []
        assert [url_asked for url_asked in asked if not url_asked.startswith(f"{url}/")] == []


def choose(page: Any, data: bytes = FILM, name: str = "mdb010.pgm") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": data})
    page.wait_for_selector("[data-state=answered], [data-state=failed]")


def drawn(page: Any) -> npt.NDArray[np.uint8]:
    """What is on the film's canvas, BGR, once everything asked for is drawn."""
    page.evaluate(DRAWN)
    png = base64.b64decode(page.evaluate("document.getElementById('film').toDataURL()").split(",")[1])
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(picture, np.uint8)


def said(page: Any, name: str) -> str:
    """A tool's output, which is written with the film."""
    page.evaluate(DRAWN)
    return str(page.inner_text(f"#{name}"))


def slide(page: Any, name: str, value: int) -> None:
    page.locator(f"#{name}").fill(str(value))


def bare(page: Any) -> None:
    """The film alone: no heat, no outline."""
    slide(page, "heat", 0)
    page.click("#outline")


def colourless(picture: npt.NDArray[np.uint8]) -> bool:
    return bool((picture == picture[..., :1]).all())


def test_a_chosen_film_is_answered_in_words_with_figures_bars_model_and_card(page: Any) -> None:
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
    for part in ("computer-aided reading", "no digital mammography", "68% to 84%", "not known", "40 patients"):
        assert part in page.inner_text("#card-body")
    page.click("text=Timings and request")
    assert "50.4 ms" in page.inner_text("#timings")
    assert page.inner_text("#request").startswith("5f0c6e1f")


def facts(page: Any) -> dict[str, str]:
    """What is told of the film."""
    names, values = page.locator("#film-list dt").all_inner_texts(), page.locator("#film-list dd").all_inner_texts()
    return dict(zip(names, values, strict=True))


def test_what_was_read_from_the_file_is_told_as_far_as_it_is_known(page: Any) -> None:
    choose(page)
    check = "Passed: it has the shape and the skin line of a mammogram. Score 0.97, from 0 (certainly no"
    assert facts(page).pop("Mammogram check").startswith(check)
    assert set(facts(page)) == {"Format", "Size", "Mammogram check"}
    choose(page, b"dicom")
    assert page.inner_text("#film-facts") == "DICOM · right breast, MLO · 4096 × 4096 pixels · 12 bit"
    told = facts(page)
    assert told["Size"] == "4096 × 4096 pixels, 287 × 287\u00a0mm"
    assert told["Read at"].startswith("1/4 of this size")
    assert [told[name] for name in ("Pixel spacing", "Side", "View")] == [
        "0.07 mm",
        "right",
        "MLO, mediolateral oblique",
    ]


def test_nothing_is_displaced_on_a_film_that_was_read_smaller_than_it_is(page: Any) -> None:
    choose(page)
    whole = drawn(page)
    choose(page, b"dicom")
    assert (drawn(page) == whole).mean() > 0.995, "film, outline and heat map lie where they lie on the small one"


def test_another_operating_point_changes_the_decision_and_leaves_the_film_as_it_is(page: Any) -> None:
    choose(page)
    page.click("#larger")
    zoomed = drawn(page)
    page.keyboard.press("Escape")
    page.focus("input[value=screening]")
    page.keyboard.press("ArrowRight")
    sync_api.expect(page.locator("#answer")).to_contain_text("“balanced”")
    assert page.inner_text("#answer").startswith("Uncertain")
    assert "between 0.50 and 0.92" in page.inner_text("#answer-means").lower()
    assert page.inner_text("#sensitivity").split("\t")[1:] == ["78%", "66% to 88%"]
    assert page.inner_text("#specificity").split("\t")[1:] == ["72%", "60% to 81%"]
    assert "weighs both errors alike" in page.inner_text("#point-means")
    assert page.text_content("#live").startswith("Uncertain: needs a reader, at the operating point balanced.")
    assert page.evaluate("document.activeElement.value") == "balanced"
    assert (drawn(page) == zoomed).all()
    page.click("#card summary")
    assert "balanced, sensitivity\t78%\t66% to 88%" in page.inner_text("#card-body")
    choose(page)
    assert "“balanced”" in page.inner_text("#answer"), "it stays chosen for the next film"


def test_a_model_that_was_promoted_meanwhile_answers_for_the_whole_film(page: Any, stub: Stub) -> None:
    choose(page)
    stub.version = "later"
    page.check("input[value=balanced]", force=True)
    sync_api.expect(page.locator("#version")).to_have_text("later")
    assert "“balanced”" in page.inner_text("#answer")


def test_of_several_files_none_is_sent(page: Any, stub: Stub) -> None:
    choose(page)
    drop = page.evaluate_handle(
        """() => {
          const carried = new DataTransfer();
          for (const name of ["one.pgm", "two.pgm"]) carried.items.add(new File(["P5"], name));
          return carried;
        }"""
    )
    page.dispatch_event("footer", "drop", {"dataTransfer": drop})
    assert page.inner_text("#problem-title") == "One film at a time"
    assert page.inner_text("#intake-title") == "2 files"
    assert len(stub.keys) == 1


def test_a_dropped_film_is_read_and_focus_and_live_region_tell_of_it(page: Any) -> None:
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


def test_a_newer_film_takes_the_place_of_one_that_is_waited_for(page: Any) -> None:
    page.set_input_files("#file", {"name": "slow.pgm", "mimeType": "", "buffer": b"slow"})
    assert page.inner_text("#intake-title") == "Reading slow.pgm"
    choose(page)
    page.wait_for_timeout(600)
    assert page.inner_text("#intake-title") == "mdb010.pgm"
    assert page.inner_text("#answer").startswith("Abnormal")
    assert page.get_attribute("#film", "aria-label") == "Film mdb010.pgm"


@pytest.mark.parametrize(
    ("film", "answer", "means"),
    [
        (b"normal", "Normal", "0.12: below the threshold"),
        (b"uncertain", "Uncertain: needs a reader", "0.44: too near the threshold of 0.41 to call"),
    ],
)
def test_other_decisions(page: Any, film: bytes, answer: str, means: str) -> None:
    choose(page, film)
    assert page.inner_text("#answer").startswith(answer)
    assert means in page.inner_text("#answer-means")


def test_the_heat_map_covers_the_film_as_far_as_the_slider_says(page: Any) -> None:
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
    page.focus("#film")
    page.keyboard.press("h")
    assert (drawn(page) == film).all()


def test_a_network_without_a_heat_map_that_learned_from_real_films(page: Any) -> None:
    choose(page)
    choose(page, b"plain")
    page.click("#outline")
    assert colourless(drawn(page))
    assert page.is_disabled("#heat")
    assert page.inner_text("#heat-text") == "This network has no heat map."
    assert not page.is_visible("#synthetic")
    assert page.inner_text("#dataset") == "mias"


def test_the_outline_is_drawn_and_taken_away(page: Any) -> None:
    choose(page)
    slide(page, "heat", 0)
    outlined = drawn(page)
    page.click("#outline")
    assert page.get_attribute("#outline", "aria-pressed") == "false"
    changed = (drawn(page) != outlined).any(axis=2)
    assert colourless(drawn(page))
    assert 0.001 < changed.mean() < 0.03
    page.focus("#film")
    page.keyboard.press("o")
    assert (drawn(page) == outlined).all()


def test_window_and_level_by_slider_key_and_drag(page: Any) -> None:
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
    page.focus("#film")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    assert (said(page, "window-value"), said(page, "level-value")) == ("247", "136")
    page.keyboard.press("0")

    page.check("input[value=window]", force=True)
    drag(page, -100, 0)
    assert said(page, "window-value") == "205"
    page.click("#reset")
    page.click("#invert")
    inverted = drawn(page)
    inside = slice(film.shape[1] // 2 - 20, film.shape[1] // 2 + 20)  # beside the film the canvas stays empty
    assert np.abs(inverted[:, inside].astype(int) + film[:, inside] - 255).max() <= 2


def drag(page: Any, dx: float, dy: float) -> None:
    box = page.locator("#film").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy)
    page.mouse.up()


def test_zoom_and_pan_by_key_wheel_and_drag(page: Any) -> None:
    choose(page)
    bare(page)
    fitted = drawn(page)
    page.focus("#film")
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

    page.hover("#film")
    page.mouse.wheel(0, -300)
    sync_api.expect(page.locator("#zoom")).to_have_text("182%")
    assert page.evaluate("scrollY") == 0
    page.click("#reset")
    page.hover("#film")
    page.mouse.wheel(0, 200)
    page.evaluate(SCROLLED)


@pytest.mark.parametrize("settings", [{"viewport": {"width": 360, "height": 740}, "has_touch": True}])
def test_two_fingers_zoom(page: Any) -> None:
    choose(page)
    page.locator("#film").scroll_into_view_if_needed()
    box = page.locator("#film").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80), ("touchEnd", None)):
        points = [] if apart is None else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert said(page, "zoom") == "200%"


def test_a_refused_film_shows_the_reason_and_what_to_do_and_nothing_of_the_film_before(page: Any) -> None:
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
        (b"pdf", "Not a kind of file that can be read", "as DICOM, PNG, JPEG, TIFF or PGM"),
        (b"damaged", "The file cannot be read", "Export it again"),
    ],
)
def test_a_file_that_is_no_image_or_a_damaged_one(page: Any, film: bytes, title: str, advice: str) -> None:
    choose(page, b"hand")
    choose(page, film)
    assert page.inner_text("#problem-title") == title
    assert advice in page.inner_text("#problem-advice")
    assert not page.is_visible("#problem-gate")


def test_a_service_that_is_not_ready_can_be_asked_again(browser: Any, stub: Stub) -> None:
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
def test_a_401_asks_for_the_key_and_sends_it_from_then_on(page: Any, stub: Stub) -> None:
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
def test_a_link_may_bring_the_key_which_does_not_stay_in_the_address(page: Any, stub: Stub) -> None:
    page.goto(f"{page.url}#key=s3cret")
    page.reload()
    assert "s3cret" not in page.url
    choose(page)
    page.wait_for_selector("#decision")
    assert stub.keys == ["Bearer s3cret"]


@pytest.mark.parametrize("settings", [{"viewport": {"width": 360, "height": 740}}])
def test_a_phone_scrolls_down_only(page: Any) -> None:
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


def test_everything_is_reached_by_tab_in_the_order_of_reading(page: Any) -> None:
    choose(page)
    tools = ("screening", "film", "smaller", "larger", "move", "outline", "invert", "reset", "heat", "window", "level")
    order = (*tools, "Keys and gestures", "copy", "Model card: use, limits, figures", "Timings and request")
    for expected in order:
        page.keyboard.press("Tab")
        name = page.evaluate("(({ activeElement: at }) => at.id || at.value || at.textContent.trim())(document)")
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
    assert first == ["Skip to the film", "key-open", "file"]


@pytest.mark.parametrize("settings", [{"color_scheme": "light"}, {"color_scheme": "dark"}])
def test_names_landmarks_and_contrast(page: Any) -> None:
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("h1").count() == 1
    assert [page.locator(landmark).count() for landmark in ("header", "main", "footer")] == [1, 1, 1]
    ids = page.eval_on_selector_all("[id]", "all => all.map((each) => each.id)")
    assert len(ids) == len(set(ids))
    assert page.evaluate(FAINT) == []
    for film in (FILM, b"normal", b"uncertain", b"dicom", b"hand"):
        choose(page, film)
        page.eval_on_selector_all("details", "all => all.forEach((each) => (each.open = true))")
        assert page.evaluate(FAINT) == []
    assert page.evaluate(NAMELESS) == []
    page.click("#key-open")
    assert page.evaluate(FAINT) == []


@pytest.mark.parametrize("settings", [{"reduced_motion": "reduce"}])
def test_nothing_moves_for_those_who_want_no_motion(page: Any) -> None:
    page.evaluate("document.body.dataset.state = 'busy'")
    assert page.evaluate("document.getAnimations().length") == 0
