"""A page in a real browser, watched, and what tests do on it.

It takes the system's Chromium and downloads none.
"""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import numpy.typing as npt

from tests.support.page.answers import film_file
from tests.support.page.exam_answers import ExamSpec

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FILM = film_file()
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""
SETTLED = "[data-state=answered], [data-state=refused], [data-state=failed]"
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@contextmanager
def watched(browser: Any, url: str, **settings: Any) -> Iterator[Any]:
    """A fresh page, which asks its own host only, breaks no policy and logs no error but that of a refused film."""
    asked: list[str] = []
    errors: list[str] = []
    options = {"viewport": {"width": 1360, "height": 900}, **settings}
    with browser.new_context(**options) as context:
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
        host = urlsplit(url).netloc
        assert {urlsplit(each).netloc for each in asked if not each.startswith(("blob:", "data:"))} == {host}


def choose(page: Any, data: bytes = FILM, name: str = "mdb010.pgm") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": data})
    page.wait_for_selector(SETTLED)


def choose_exam(page: Any, *films: ExamSpec) -> None:
    """Choose films that the stub answers as they say; they are named film0.dcm and so on."""
    files = [
        {"name": f"film{at}.dcm", "mimeType": "", "buffer": film.model_dump_json().encode()}
        for at, film in enumerate(films)
    ]
    page.set_input_files("#file", files)
    page.wait_for_selector(SETTLED)


def drawn(page: Any, place: int = 0) -> npt.NDArray[np.uint8]:
    """What is on the canvas of the film at that place of the hang, BGR, once everything asked for is drawn."""
    page.evaluate(DRAWN)
    url = page.evaluate("(place) => document.querySelectorAll('canvas')[place].toDataURL()", place)
    png = base64.b64decode(url.split(",")[1])
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


def facts(page: Any) -> dict[str, str]:
    """What is told of the film."""
    names, values = page.locator("#film-list dt").all_inner_texts(), page.locator("#film-list dd").all_inner_texts()
    return dict(zip(names, values, strict=True))
