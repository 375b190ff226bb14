"""What the page repeats of the API."""

import re
from pathlib import Path

import services.inference
from shared.api.exams import MOST_FILMS


class TestPage:
    def test_the_page_takes_as_many_films_as_an_exam_may_have(self) -> None:
        script = Path(services.inference.__file__).with_name("page").joinpath("app.js").read_text()
        assert re.findall(r"^const MOST_FILMS = (\d+);$", script, re.MULTILINE) == [str(MOST_FILMS)]
