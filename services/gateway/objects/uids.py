"""UIDs of result objects: the same report gets the same UIDs, another one never does.

A series belongs to study, network and kind. An instance is `<root>.<films>.<kind>.<content>`: the digest of the films,
the number of the kind, and the digest of all that its content depends on. So a listing of a study says which films
have results of each kind, whatever model made them.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence

from pydicom.uid import PYDICOM_ROOT_UID

from services.gateway.report import KINDS, Report, ResultKind

BUILDER_VERSION = "1"
"""To be raised with every change of what is written into result objects."""

_ROOT = str(PYDICOM_ROOT_UID)  # 26 of the 64 characters of a UID
_FILMS_DIGITS, _CONTENT_DIGITS, _SERIES_DIGITS = 17, 18, 38


def series_uid(study_uid: str, network: str, kind: ResultKind) -> str:
    """Return the UID of the series that holds all results of a kind."""
    return _ROOT + _digits(_SERIES_DIGITS, "series", study_uid, network, kind)


def instance_uid(report: Report, kind: ResultKind, films: Iterable[str]) -> str:
    """Return the UID of a result about films, given by their SOP Instance UIDs."""
    films = set(films)
    about = [film for film in report.films if film.header.sop_uid in films]
    refused = (f"{film.header.sop_uid} {film.refusal.code}" for film in about if film.refusal)
    thresholds = {repr(film.finding.decision.operating_point.threshold) for film in about if film.finding}
    content = _digits(
        _CONTENT_DIGITS,
        series_uid(report.study_uid, report.model.network, kind),
        report.model.sha256,
        report.model.version,
        report.operating_point,
        *sorted(thresholds),
        BUILDER_VERSION,
        *sorted(films),
        *sorted(refused),
    )
    return f"{result_prefix(kind, films)}{content}"


def result_prefix(kind: ResultKind, films: Iterable[str]) -> str:
    """Return the beginning of the UIDs of all results of a kind about these films."""
    return f"{_ROOT}{_digits(_FILMS_DIGITS, 'films', *sorted(films))}.{KINDS.index(kind) + 1}."


def has_results(listed: Iterable[str], films: Sequence[str], kinds: Collection[ResultKind]) -> bool:
    """Return True if a listing has results of all kinds about exactly these films.

    Presentation states and segmentations are not looked for: a film without an outline has none.

    Args:
        listed: SOP Instance UIDs of the study.
        films: SOP Instance UIDs of the films.
    """
    listed = list(listed)
    wanted = [result_prefix(kind, films) for kind in kinds if kind in ("cad-sr", "tid1500")]
    wanted += [result_prefix("sc", [film]) for film in films if "sc" in kinds]
    return bool(wanted) and all(any(uid.startswith(prefix) for uid in listed) for prefix in wanted)


def kind_of(sop_uid: str) -> ResultKind | None:
    """Return the kind of result that a UID was made for; None if it was not made here."""
    films, *others = sop_uid.removeprefix(_ROOT).split(".")
    if not sop_uid.startswith(_ROOT) or len(others) != 2 or len(films) != _FILMS_DIGITS:
        return None
    number, content = others
    known = len(content) == _CONTENT_DIGITS and number.isdecimal() and 1 <= int(number) <= len(KINDS)
    return KINDS[int(number) - 1] if known else None


def device_uid(network: str) -> str:
    """Return the UID of the device that observes: this software with a network."""
    return _ROOT + _digits(_SERIES_DIGITS, "device", network)


def tracking_uid(report: Report, *parts: str) -> str:
    """Return the UID by which one observation is tracked."""
    return _ROOT + _digits(_SERIES_DIGITS, "tracking", report.study_uid, report.model.network, *parts)


def _digits(count: int, *parts: str) -> str:
    """Digest parts to `count` decimal digits without a leading zero."""
    number = int.from_bytes(hashlib.sha256("\n".join(("mammostack", *parts)).encode()).digest())
    least = 10 ** (count - 1)
    return str(least + number % (9 * least))
