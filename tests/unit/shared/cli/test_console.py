"""What the commands print of evaluations and answers."""

import io
import re

import pytest
from rich.console import Console

from services.inference.api.openapi_examples import EXAMPLES
from shared.api.exams import ExamPrediction
from shared.api.films import FilmSide, FilmView
from shared.api.predictions import PredictionAnswer
from shared.cli import console
from shared.modelling.evaluation import SideBySide
from tests.support.evaluations import (
    example_evaluation,
    example_metrics,
    example_result,
    leveled,
)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Console:
    screen = Console(width=200, record=True)
    monkeypatch.setattr(console, "console", screen)
    return screen


class TestListing:
    @pytest.mark.parametrize("columns", [20, 80, 200])
    def test_nothing_of_a_listing_is_cut(self, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
        written = io.StringIO()
        monkeypatch.setattr(console, "console", Console(file=written, width=columns))
        table = console.listing("id", "state", "model", "created")
        row = ("0123456789abcdef" * 2, "running", "resnet50 20261127-024905-afc3", "2026-11-27T02:49:05.000+00:00")
        table.add_row(*row)
        console.show_listing(table)
        (line,) = [line for line in written.getvalue().splitlines() if "running" in line]
        assert re.split(" {2,}", line.strip()) == list(row)


class TestEvaluationTable:
    def test_films_side_by_side_have_a_row_below_their_network(self, screen: Console) -> None:
        result = example_result("resnet50", "patient")
        beside = SideBySide(metrics=example_metrics(0.6, 322, 20, 1), operating_points=())
        shown = result.model_copy(update={"side_by_side": beside})
        screen.print(console.evaluation_table(example_evaluation((shown, example_result("resnet50", "paper")))))
        rows = [re.split(" {2,}", line.strip()) for line in screen.export_text().splitlines() if "resnet50" in line]
        assert [row[:2] for row in rows] == [
            ["resnet50", protocol] for protocol in ("patient", "patient, side by side", "paper (leaky)")
        ]
        assert rows[1][2].startswith(f"{100 * (beside.metrics.accuracy.value or 0):.1f} [")

    def test_breasts_and_exams_of_several_films_have_rows_below_their_network(self, screen: Console) -> None:
        screen.print(
            console.evaluation_table(example_evaluation((leveled(example_result("resnet50", "patient"), 300),)))
        )
        rows = [re.split(" {2,}", line.strip()) for line in screen.export_text().splitlines() if "resnet50" in line]
        assert [row[1] for row in rows] == ["patient", "patient, by breast", "patient, by exam"]


class TestShowPrediction:
    def test_a_film_is_told_with_what_is_known_of_it_and_from_where(self, screen: Console) -> None:
        answer = PredictionAnswer.model_validate(EXAMPLES[PredictionAnswer])
        assert answer.about
        view, side = (
            FilmView(name="CC", source="file", modifiers=("magnification",)),
            FilmSide(name="L", source="shape"),
        )
        facts = {"view": view, "laterality": side, "acquisition": "digital", "vendor": "Hologic", "implant": True}
        about = answer.about.model_copy(update={**facts, "disagreements": ("they disagree",), "notes": ("It is odd.",)})
        console.show_prediction("a.dcm", answer.model_copy(update={"about": about}))
        told = screen.export_text().splitlines()
        assert "  view CC, magnification (file); breast L (by its shape); digital, Hologic, implant" in told
        assert {"  they disagree", "  It is odd."} <= set(told)


class TestShowExam:
    def test_an_exam_is_told_film_by_film_by_breast_and_together(self, screen: Console) -> None:
        console.show_exam(ExamPrediction.model_validate(EXAMPLES[ExamPrediction]))
        text = screen.export_text()
        told = [line.partition(":")[0] for line in text.splitlines() if not line.startswith(" ")]
        assert told == [
            "right.dcm", "right.dcm compared with the same view of the other breast",
            "left.dcm", "left.dcm compared with the same view of the other breast",
            "report.pdf", "breast R, of 1 film", "breast L, of 1 film", "exam, as breast R",
        ]  # fmt: skip
        assert "report.pdf: refused (unsupported image format" in text
        assert text.count("the model was not trained on such films") == 2
        assert text.count("view MLO (file); breast R (file); digital, Hologic\n") >= 1

    def test_an_exam_without_an_answer_says_so(self, screen: Console) -> None:
        exam = ExamPrediction.model_validate(EXAMPLES[ExamPrediction])
        refused = tuple(film for film in exam.films if film.problem)
        console.show_exam(exam.model_copy(update={"films": refused, "breasts": (), "exam": None}))
        assert "exam: no answer (every film is refused)" in screen.export_text()
