"""The report of a run: the page says what metrics.json says, marks what leaks, and asks nothing of other hosts."""

import re
from base64 import b64encode
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
import pytest

from services.train.data.provenance import code_sha256
from services.train.evaluation.report import THRESHOLD_RULES, percent, picture_name, render, share
from services.train.evaluation.worst_errors import ConfidentError, error_picture
from shared.domain.records import CLASSES
from shared.domain.terms import Terms
from shared.modelling.bootstrap import Interval
from shared.modelling.evaluation import (
    Baseline,
    Evaluation,
    NetworkResult,
    SideBySide,
)
from shared.modelling.exams import RULE
from shared.modelling.metrics import evaluate
from shared.modelling.predictions import FoldPredictions
from shared.modelling.subgroups import GroupMetrics
from tests.support.evaluations import OPERATING_POINTS, example_evaluation, example_metrics, example_result, leveled

HOSTILE = "<script>alert('x')</script>\"&"
PNG = b"\x89PNG\r\n\x1a\n"


class Tags(HTMLParser):
    """Every start tag with its attributes, and whether a leaky mark stands in which row of the results."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[tuple[str | None, bool, list[float]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.found.append((tag, attributes))
        if tag == "tr":
            self.rows.append((attributes.get("data-protocol"), False, []))
        elif tag == "strong" and attributes.get("class") == "leaky" and self.rows:
            protocol, _, numbers = self.rows[-1]
            self.rows[-1] = (protocol, True, numbers)
        elif tag == "data" and self.rows:
            self.rows[-1][2].append(float(attributes["value"] or "nan"))


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return example_evaluation((example_result("resnet50", "paper"), example_result("resnet50", "patient")))


@pytest.fixture(scope="module")
def files(evaluation: Evaluation) -> dict[str, bytes]:
    return render(evaluation)


@pytest.fixture(scope="module")
def page(files: dict[str, bytes]) -> str:
    return files["index.html"].decode()


def headline(result: NetworkResult) -> Iterator[Interval]:
    metrics = result.metrics
    yield from (metrics.accuracy, metrics.macro_precision, metrics.macro_recall, metrics.macro_f1)
    yield from (metrics.macro_auc, metrics.abnormal_auc)


class TestRender:
    def test_metrics_json_is_the_evaluation(self, evaluation: Evaluation, files: dict[str, bytes]) -> None:
        assert Evaluation.model_validate_json(files["metrics.json"]) == evaluation

    def test_every_picture_is_a_png_and_is_embedded(
        self, evaluation: Evaluation, files: dict[str, bytes], page: str
    ) -> None:
        names = {
            picture_name(result, kind) for result in evaluation.results for kind in ("confusion", "roc", "training")
        }
        names.add("resnet50-patient-calibration.png")
        assert set(files) == {"index.html", "metrics.json", "comparison.png"} | names
        assert all(files[name].startswith(PNG) for name in names | {"comparison.png"})
        images = [attributes for tag, attributes in Tags(page).found if tag == "img"]
        assert len(images) == len(names) + 1
        assert all((image["src"] or "").startswith("data:image/png;base64,") and image["alt"] for image in images)

    def test_of_a_training_that_had_but_one_epoch_no_curve_is_drawn(self) -> None:
        result = example_result("resnet50", "patient")
        short = tuple(fold.model_copy(update={"epochs": fold.epochs[:1], "best_epoch": 1}) for fold in result.histories)
        files = render(example_evaluation((result.model_copy(update={"histories": short}),)))
        assert picture_name(result, "training") not in files
        assert "loss by epoch" not in files["index.html"].decode()

    def test_the_numbers_of_the_main_table_are_those_of_metrics_json(self, files: dict[str, bytes], page: str) -> None:
        stored = {result.protocol: result for result in Evaluation.model_validate_json(files["metrics.json"]).results}
        shown = {protocol: numbers for protocol, _, numbers in Tags(page).rows if protocol}
        assert shown == {
            protocol: [interval.value for interval in headline(result)] for protocol, result in stored.items()
        }
        for result in stored.values():
            for interval, write in zip(headline(result), [percent] * 4 + [share] * 2, strict=True):
                assert interval.value is not None
                assert interval.low is not None
                assert interval.high is not None
                assert f">{write(interval.value)}</data>" in page
                assert f"{write(interval.low)}&nbsp;to&nbsp;{write(interval.high)}" in page

    def test_exactly_the_rows_of_the_paper_protocol_are_marked_leaky(self, page: str) -> None:
        rows = [(protocol, leaky) for protocol, leaky, _ in Tags(page).rows if protocol]
        assert rows == [("patient", False), ("paper", True)]
        headings = re.findall(r"<h2>(ResNet-50.*?)</h2>", page)
        assert (
            ["leaky" in heading for heading in headings]
            == ["paper" in heading for heading in headings]
            == [False, True]
        )

    def test_operating_points_stand_with_their_intervals_counts_and_rules_in_words(self, page: str) -> None:
        screening, balanced = re.findall(r'<tr data-operating-point="(\w+)">(.*?)</tr>', page)
        assert (screening[0], balanced[0]) == ("screening", "balanced")
        for shown in ("91.3%", "85.1%&nbsp;to&nbsp;96.2%", "105 of 115 abnormal", "24.6%", "51 of 207 normal"):
            assert shown in screening[1]
        assert "undefined" in balanced[1]
        assert THRESHOLD_RULES["screening"] in screening[1]
        assert THRESHOLD_RULES["balanced"] in balanced[1]

    def test_calibration_is_told_before_and_after(self, page: str) -> None:
        assert "1.31, 1.00" in page
        assert "0.51 before and is 0.49 after" in page
        assert "9.1% before and is 5.2% after" in page

    def test_baselines_stand_in_the_table_of_the_networks(self, evaluation: Evaluation) -> None:
        metrics = example_metrics(0.05, 322, 20, 3)
        row = Baseline(name="majority class", about="Always the commonest class.", metrics=metrics)
        page = render(evaluation.model_copy(update={"baselines": (row,)}))["index.html"].decode()
        (shown,) = re.findall(r'<tr class="baseline" data-baseline="majority class">(.*?)</tr>', page, re.DOTALL)
        assert percent(metrics.accuracy.value or 0) in shown
        assert "always the commonest class." in page

    def test_both_breasts_side_by_side_have_a_row_and_a_paragraph(self, evaluation: Evaluation) -> None:
        metrics = example_metrics(0.5, 322, 20, 4)
        beside = SideBySide(metrics=metrics, operating_points=OPERATING_POINTS)
        honest = evaluation.results[1].model_copy(update={"side_by_side": beside})
        page = render(evaluation.model_copy(update={"results": (honest,)}))["index.html"].decode()
        rows = {protocol: numbers for protocol, _, numbers in Tags(page).rows if protocol}
        assert rows["side by side"] == [
            interval.value for interval in headline(honest.model_copy(update={"metrics": metrics}))
        ]
        (paragraph,) = re.findall(r'<h3 id="resnet50-side-by-side">.*?</h3>\s*<p>(.*?)</p>', page, re.DOTALL)
        told = [float(value) for value in re.findall(r'<data value="([^"]+)">', paragraph)]
        malignant = [each.per_class[CLASSES[2]].auc.value for each in (metrics, honest.metrics)]
        assert told[:4] == [metrics.abnormal_auc.value, malignant[0], honest.metrics.abnormal_auc.value, malignant[1]]

    def test_groups_of_films_stand_with_their_numbers(self, evaluation: Evaluation) -> None:
        some = Interval(value=0.613, low=0.4, high=0.8)
        group = GroupMetrics(
            of="lesion", name="calcification", films=25, abnormal=25, accuracy=some, recall=some, abnormal_auc=some
        )
        honest = evaluation.results[1].model_copy(update={"groups": (group,)})
        page = render(evaluation.model_copy(update={"results": (honest,)}))["index.html"].decode()
        (shown,) = re.findall(r'<tr data-group="calcification">(.*?)</tr>', page)
        assert "25" in shown
        assert "61.3%" in shown

    def test_the_surest_mistakes_are_shown_with_film_truth_and_answer(self, evaluation: Evaluation) -> None:
        png = error_picture(np.full((64, 64), 0.5, np.float32), np.eye(4, dtype=np.float32))
        files = render(evaluation, [ConfidentError("mdb<7>", CLASSES[2], CLASSES[0], 0.913, png)])
        page = files["index.html"].decode()
        assert files["mistake-01.png"] == png
        assert "<b>mdb&lt;7&gt;</b>: malignant, called normal with 91.3%" in page
        assert b64encode(png).decode() in page

    def test_the_hashes_of_data_and_code_are_told(self, evaluation: Evaluation) -> None:
        told = evaluation.model_copy(update={"data_sha256": "d" * 64, "code_sha256": code_sha256()})
        page = render(told)["index.html"].decode()
        assert "d" * 64 in page
        assert code_sha256() in page

    def test_the_leak_is_explained_in_four_sentences_and_a_picture(self, page: str) -> None:
        section = re.findall(r'<h2 id="leak">.*?</section>', page, re.DOTALL)[0]
        words = re.findall(r"<p>(Augmentation.*?)</p>", section)[0]
        assert len(re.findall(r"[.](?= |$)", words)) == 4
        assert section.count("<figure") == 2

    def test_the_leaky_protocol_has_no_operating_points_and_no_calibration(self, evaluation: Evaluation) -> None:
        page = render(evaluation.model_copy(update={"results": evaluation.results[:1]}))["index.html"].decode()
        assert "perating point" not in page
        assert "alibration" not in page

    def test_without_the_paper_protocol_nothing_is_marked_leaky(self, evaluation: Evaluation) -> None:
        honest = evaluation.model_copy(update={"results": evaluation.results[1:]})
        assert 'class="leaky"' not in render(honest)["index.html"].decode()

    def test_without_the_patient_protocol_the_page_says_what_is_missing(self, evaluation: Evaluation) -> None:
        page = render(evaluation.model_copy(update={"results": evaluation.results[:1]}))["index.html"].decode()
        assert "no result under the patient protocol" in page

    def test_synthetic_films_are_announced_and_only_they(self, evaluation: Evaluation, page: str) -> None:
        banner = "SYNTHETIC films: numbers say nothing about mammography"
        assert banner not in page
        synthetic = render(evaluation.model_copy(update={"synthetic": True}))
        assert banner in synthetic["index.html"].decode()
        assert synthetic["comparison.png"] != render(evaluation)["comparison.png"]

    def test_the_page_says_that_it_is_for_research_and_names_the_published_claim(self, page: str) -> None:
        assert "Research only, not a medical device" in page
        assert "accuracy 98.6%, precision 97%, recall 100%, F1 99%" in page

    def test_nothing_is_loaded_from_anywhere(self, page: str) -> None:
        assert "http://" not in page
        assert "https://" not in page
        assert "url(" not in page
        assert "@import" not in page
        for tag, attributes in Tags(page).found:
            assert tag not in {"script", "iframe", "object", "embed"}
            if tag != "a":
                sources = (attributes.get(name) or "data:" for name in ("src", "href", "srcset"))
                assert all(source.startswith("data:") for source in sources)

    def test_hostile_names_are_escaped(self, evaluation: Evaluation) -> None:
        changes = dict.fromkeys(("run", "dataset", "profile", "augmentation", "code_version", "created"), HOSTILE)
        page = render(evaluation.model_copy(update=changes))["index.html"].decode()
        assert HOSTILE not in page
        assert "<script" not in page
        assert page.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&#34;&amp;") >= 6

    def test_undefined_numbers_are_called_undefined(self) -> None:
        predictions = FoldPredictions(
            films=("a", "b"),
            patients=("p", "p"),
            labels=(CLASSES[0], CLASSES[0]),
            probabilities=((1.0, 0.0, 0.0), (0.5, 0.5, 0.0)),
            folds=(0, 0),
        )
        result = example_result("alexnet", "patient", folds=1).model_copy(update={"metrics": evaluate(predictions)})
        page = render(example_evaluation((result,)))["index.html"].decode()
        assert "undefined" in page
        assert "None" not in re.sub(r"base64,[^\"]*", "", page)

    def test_the_same_evaluation_gives_the_same_bytes(self, evaluation: Evaluation, files: dict[str, bytes]) -> None:
        assert render(evaluation) == files

    def test_breasts_and_exams_have_their_figures_and_the_rule_in_the_report(self) -> None:
        result = leveled(example_result("resnet50", "patient"), 300)
        page = render(example_evaluation((result,)))["index.html"].decode()
        assert RULE in page
        rows = {protocol: numbers for protocol, _, numbers in Tags(page).rows if protocol}
        for level in result.levels:
            assert rows[level.level] == pytest.approx(
                [interval.value for interval in headline(result.model_copy(update={"metrics": level.metrics}))]
            )
        told = [attributes["data-level"] for _, attributes in Tags(page).found if "data-level" in attributes]
        assert told == ["film", "breast", "exam"]

    def test_breasts_of_one_film_get_no_row_among_the_results(self) -> None:
        page = render(example_evaluation((leveled(example_result("resnet50", "patient"), 322),)))["index.html"].decode()
        assert [protocol for protocol, _, _ in Tags(page).rows if protocol] == ["patient", "exam"]


class TestTerms:
    def test_terms_and_how_labels_were_made_are_told(self, evaluation: Evaluation) -> None:
        terms = Terms(text="EMBED licence.", redistribute=False, release_models=False)
        told = evaluation.model_copy(update={"terms": terms, "labelling": "malignant: asses = K. By breast."})
        page = render(told)["index.html"].decode()
        assert "EMBED licence. Models that were trained on it must not be released: none is promoted." in page
        assert "malignant: asses = K. By breast." in page
        assert "Terms of use" not in render(evaluation)["index.html"].decode()
