"""Sentences of result objects, the same in all kinds. Nothing claims more than the model's applicability."""

from services.gateway.films import SideLetter
from services.gateway.report import Report, ReportedFilm

RESEARCH = "FOR RESEARCH ONLY - NOT A MEDICAL DEVICE"
SIDES: dict[SideLetter, str] = {"R": "Right breast", "L": "Left breast"}


def name_of(film: ReportedFilm) -> str:
    """Name a film by side and view."""
    return f"{film.side or 'unknown side'} {film.view or 'unknown view'}"


def percent(share: float) -> str:
    """Write a probability as a percentage."""
    return f"{100 * share:.1f}%"


def film_words(film: ReportedFilm) -> str:
    """Describe the result of a film in one sentence."""
    if film.finding is None:
        return f"{name_of(film)}: not analysed: {film.refusal.detail if film.refusal else 'no result'}"
    if film.misfit:
        return f"{name_of(film)}: outside the model's applicability, no result: {film.misfit}"
    decision = film.finding.decision
    malignant = percent(film.finding.probabilities.malignant)
    return (
        f"{name_of(film)}: {decision.answer} at operating point {decision.operating_point.name}; "
        f"P(malignant) {malignant}{_unassessed(film)}"
    )


def _unassessed(film: ReportedFilm) -> str:
    about = film.finding.applicability if film.finding else None
    return "; applicability of the model is unknown" if about is None or about.applies is None else ""


def breast_words(report: Report, side: SideLetter) -> str:
    """Describe the result of a breast in one sentence."""
    found = report.breast(side)
    if found is None:
        return f"{SIDES[side]}: no result"
    decision = found.decision
    return (
        f"{SIDES[side]}: {decision.answer} at operating point {decision.operating_point.name}; "
        f"P(malignant) {percent(found.probabilities.malignant)}, P(abnormal) {percent(decision.score)}"
    )


def report_words(report: Report) -> str:
    """Describe the whole report in lines: breasts, films, completeness, model and notice."""
    lines = [breast_words(report, side) for side in SIDES if report.side(side)]
    lines += [film_words(film) for film in report.films]
    if missing := missing_views(report):
        lines.append(f"Incomplete exam, without {', '.join(missing)}")
    model = report.model
    lines.append(f"Network {model.network}, version {model.version}")
    return "\n".join([*lines, report.answer.notice, RESEARCH])


def missing_views(report: Report) -> list[str]:
    """Name the standard views that no film of the report shows."""
    there = {(film.side, film.view) for film in report.films}
    return [f"{side} {view}" for view in ("CC", "MLO") for side in SIDES if (side, view) not in there]


def parameters(report: Report) -> tuple[str, ...]:
    """Describe what the result depends on besides network and version."""
    used = [film.finding.decision.operating_point for film in report.films if film.finding]
    threshold = f", threshold {used[0].threshold:.4f}" if used else ""
    return f"operating point {report.operating_point}{threshold}", f"weights sha256 {report.model.sha256}"
