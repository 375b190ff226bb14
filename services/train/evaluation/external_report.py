"""The report of an evaluation on another data set: an HTML page, metrics.json and the pictures, as of a run."""

from collections import Counter

from services.train.evaluation import figures
from services.train.evaluation.report import ENVIRONMENT, embedded
from shared.domain.overlap import LeftOut
from shared.modelling.external import ExternalEvaluation

_TEMPLATE = ENVIRONMENT.get_template("external.html.j2")


def render_external(evaluation: ExternalEvaluation) -> dict[str, bytes]:
    """Render index.html, metrics.json and all pictures, by file name.

    The same evaluation gives the same bytes.
    """
    films = f"{evaluation.dataset}{', synthetic films' if evaluation.synthetic else ''}"
    subtitle = f"{figures.name(evaluation.network)} on {films}"
    pictures = {
        "confusion.png": figures.confusion_matrix(evaluation.metrics, subtitle),
        "roc.png": figures.roc_curves(evaluation.metrics, subtitle),
        "calibration.png": figures.calibration_curve(evaluation.bins, subtitle),
    }
    page = _TEMPLATE.render(
        evaluation=evaluation,
        missing=[label for label, count in evaluation.class_counts.items() if not count],
        reasons=reasons(evaluation.left_out),
        refusals=Counter(film.code for film in evaluation.refused),
        pictures=embedded(pictures),
    )
    return {
        "index.html": page.encode(),
        "metrics.json": evaluation.model_dump_json(indent=1).encode(),
        **pictures,
    }


def reasons(left_out: LeftOut) -> list[str]:
    """Say why films are left out, a phrase for each reason that there is."""
    counts = (
        (len(left_out.patients_by_id), "patient", "with the id of one that the version has seen"),
        (len(left_out.patients_by_film), "patient", "with an image file of one that it has seen"),
        (len(left_out.repeated_films), "film", "with the same image file as another"),
        (len(left_out.contradictory_films), "film", "with the same image file as another and another label"),
    )
    return [f"{count} {what}{'' if count == 1 else 's'} {why}" for count, what, why in counts if count]
