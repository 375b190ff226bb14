"""The report of a run: an HTML page, metrics.json, and the pictures as separate files.

The page is self-contained: pictures are embedded, the style is inline, there is no script, and a content security
policy forbids external requests. It can be mailed, printed or served from a bucket.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.train.evaluation import figures
from services.train.evaluation.worst_errors import ConfidentError
from shared.digests import sha256_hex
from shared.domain.records import CLASSES
from shared.errors import ObjectNotFound
from shared.modelling.evaluation import Evaluation, NetworkResult
from shared.modelling.exams import RULE
from shared.modelling.network_table import NETWORK_TABLE
from shared.runs.plan import Plan
from shared.store import layout
from shared.store.interface import ObjectStore

PUBLISHED = {"accuracy": 0.986, "precision": 0.97, "recall": 1.0, "f1": 0.99}
"""Published metrics of ResNet-50, from images that were augmented first and split afterwards."""

THRESHOLD_RULES = {
    "screening": "the highest threshold that finds at least 90% of the abnormal validation films",
    "balanced": "the largest sum of sensitivity and specificity on the validation films (Youden index)",
}


def render(evaluation: Evaluation, errors: Sequence[ConfidentError] = ()) -> dict[str, bytes]:
    """Render index.html, metrics.json and all pictures, by file name.

    The same evaluation gives the same bytes.
    """
    pictures = {"comparison.png": figures.comparison(evaluation)}
    for result in evaluation.results:
        subtitle = figures.title(result, evaluation.synthetic)
        pictures[picture_name(result, "confusion")] = figures.confusion_matrix(result.metrics, subtitle)
        pictures[picture_name(result, "roc")] = figures.roc_curves(result.metrics, subtitle)
        if result.calibration:
            pictures[picture_name(result, "calibration")] = figures.calibration_curve(result.calibration.bins, subtitle)
        if any(len(history.epochs) > 1 for history in result.histories):
            pictures[picture_name(result, "training")] = figures.training_curves(result.histories, subtitle)
    pictures |= {f"mistake-{number:02d}.png": error.png for number, error in enumerate(errors, 1)}
    return {
        "index.html": render_page(evaluation, pictures, errors).encode(),
        "metrics.json": evaluation.model_dump_json(indent=1).encode(),
        **pictures,
    }


def picture_name(result: NetworkResult, kind: str) -> str:
    """Return the file name of a picture of a result; `kind` is confusion, roc, calibration or training."""
    return f"{result.network}-{result.protocol}-{kind}.png"


def best_result(evaluation: Evaluation) -> NetworkResult | None:
    """Return the result with the highest macro AUC under the patient protocol; None without one."""
    not_leaky = [result for result in evaluation.results if not result.leaky]
    return max(not_leaky, key=lambda result: result.metrics.macro_auc.value or 0.0, default=None)


def render_page(evaluation: Evaluation, pictures: dict[str, bytes], errors: Sequence[ConfidentError] = ()) -> str:
    """Render the HTML page; results under the patient protocol come first."""
    results = sorted(evaluation.results, key=lambda result: result.leaky)
    best = best_result(evaluation)
    leaky_twin = next((result for result in results if result.leaky and best and result.network == best.network), None)
    return _TEMPLATE.render(
        evaluation=evaluation,
        results=results,
        best=best,
        leaky_twin=leaky_twin,
        errors=errors,
        networks=list(dict.fromkeys(figures.name(result.network) for result in results)),
        pictures=embedded(pictures),
    )


def embedded(pictures: dict[str, bytes]) -> dict[str, str]:
    """Return PNG pictures as data URLs."""
    return {name: f"data:image/png;base64,{b64encode(png).decode()}" for name, png in pictures.items()}


def report_is_intact(store: ObjectStore, plan: Plan, unit: str) -> bool:
    """Return True if every file of a stored report has the digest with which it was written."""
    try:
        digests = json.loads(store.get(plan.done_key("evaluate", unit)))
        return isinstance(digests, dict) and all(
            sha256_hex(store.get(layout.report_file(plan.run, name))) == digest for name, digest in digests.items()
        )
    except (ObjectNotFound, ValueError):
        return False


def percent(number: float) -> str:
    """Write a share as 12.3%."""
    return f"{number:.1%}"


def share(number: float) -> str:
    """Write an area under a curve as 0.71, not as a percentage."""
    return f"{number:.2f}"


def duration(seconds: float) -> str:
    """Write a duration in seconds or minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals.update(
    percent=percent,
    share=share,
    duration=duration,
    network_name=figures.name,
    picture_name=picture_name,
    published=PUBLISHED,
    threshold_rules=THRESHOLD_RULES,
    classes=CLASSES,
    explainable={name for name, record in NETWORK_TABLE.items() if record.explainable},
    exam_rule=RULE,
)
_TEMPLATE = ENVIRONMENT.get_template("report.html.j2")
