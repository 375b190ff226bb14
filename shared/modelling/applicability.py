"""Assess whether a model was trained on films of a given kind.

A network gives a prediction for any image that passes the gate, but its metrics hold only for films like its training
films: for an unseen view, acquisition, vendor or depth they are meaningless. The assessment uses known properties of
the film only; drift compares the distribution of pixels.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import Field

from shared.domain.films import Acquisition, Film, Variant
from shared.domain.records import Record

Fact: TypeAlias = Literal["view", "acquisition", "vendor", "bits"]
FACTS: tuple[Fact, ...] = ("view", "acquisition", "vendor", "bits")

LEAST_SHARE = 0.01
"""Of the training films of which a fact is known: what is rarer among them does not count as trained on."""

_VIEWS = {
    "CC": "craniocaudal (CC)",
    "MLO": "oblique (MLO)",
    "ML": "mediolateral (ML)",
    "LM": "lateromedial (LM)",
    "LMO": "lateromedial oblique (LMO)",
    "XCCL": "exaggerated craniocaudal (XCCL)",
    "AT": "axillary tail (AT)",
}
"""DICOM's view positions (PS3.16, CID 4014) in words."""
_FACT_NAMES: dict[Fact, str] = {
    "view": "its view",
    "acquisition": "how it was acquired",
    "vendor": "its vendor",
    "bits": "its depth",
}


class TrainedOn(Record):
    """Counts of a model's training films, without augmented copies, by property.

    A film with an unknown property is in none of that property's counts.
    """

    films: int
    views: dict[str, int] = Field(description="by view position: CC, MLO, ...")
    acquisitions: dict[str, int] = Field(description="film scan, digital or synthesized (C-View and such)")
    vendors: dict[str, int] = Field(description="by the maker of the device")
    bits: dict[int, int] = Field(description="by depth in bits")


@dataclass(frozen=True)
class Applicability:
    """Validity of a model's metrics for a film, as far as is known.

    `applies` is False if a known property of the film occurs in no training film: `misfits` names these properties.
    `unknown` names those that can't be compared, which have no influence. `reasons` are sentences about both, none if
    everything is known and fits.
    """

    applies: bool
    reasons: tuple[str, ...] = ()
    misfits: tuple[Fact, ...] = ()
    unknown: tuple[Fact, ...] = ()


def count_films(images: Iterable[Film | Variant]) -> TrainedOn:
    """Count films by property; of variants, count only variant 0, the film itself."""
    films = [image for image in images if not isinstance(image, Variant) or image.variant == 0]
    return TrainedOn(
        films=len(films),
        views=_counts(film.view for film in films),
        acquisitions=_counts(film.acquisition for film in films),
        vendors=_counts(film.vendor for film in films),
        bits=dict(sorted(Counter(film.bits for film in films if film.bits is not None).items())),
    )


def assess(
    trained_on: TrainedOn | None,
    *,
    view: str | None = None,
    acquisition: Acquisition | None = None,
    vendor: str | None = None,
    bits: int | None = None,
) -> Applicability:
    """Compare a film's known properties (None: unknown) with the training films.

    A model whose card has no counts (None) applies to no film.
    """
    if trained_on is None:
        return Applicability(False, ("the model's card does not state which films it was trained on",), (), FACTS)
    film: dict[Fact, str | int | None] = {"view": view, "acquisition": acquisition, "vendor": vendor, "bits": bits}
    known = _known(trained_on)
    misfits = tuple(fact for fact in FACTS if film[fact] and known[fact] and not _fits(film[fact], known[fact]))
    unknown = tuple(fact for fact in FACTS if film[fact] is None or not known[fact])
    reasons = []
    if misfits:
        reasons.append(
            f"the model was not trained on such films: it was trained on {kinds_of_films(trained_on)} only; this is "
            f"{_this_film(film)}"
        )
    if missing := [_FACT_NAMES[fact] for fact in FACTS if film[fact] is None]:
        reasons.append(f"unknown for this film: {', '.join(missing)}")
    if missing := [_FACT_NAMES[fact] for fact in FACTS if film[fact] is not None and not known[fact]]:
        reasons.append(f"unknown for the training films, so not compared: {', '.join(missing)}")
    return Applicability(not misfits, tuple(reasons), misfits, unknown)


def kinds_of_films(trained_on: TrainedOn) -> str:
    """Describe the training films in words: 'oblique (MLO) film scans of 8 bits'."""
    known = _known(trained_on)
    views = _listed([_view_name(view) for view in known["view"]])
    nouns = _listed([f"{before} {noun}s".strip() for before, noun in map(_noun, known["acquisition"])]) or "films"
    bits = f"of {_listed(_depths(known['bits']))} bits" if known["bits"] else ""
    vendors = f"by {_listed(known['vendor'])}" if known["vendor"] else ""
    return " ".join(part for part in (views, nouns, bits, vendors) if part)


def _counts(values: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value is not None).items()))


def _known(trained_on: TrainedOn) -> dict[Fact, tuple[str | int, ...]]:
    """Return, by property, the values common enough among training films to count."""
    counts: dict[Fact, Mapping[str, int] | Mapping[int, int]] = {
        "view": trained_on.views,
        "acquisition": trained_on.acquisitions,
        "vendor": trained_on.vendors,
        "bits": trained_on.bits,
    }
    return {fact: _common(by_value) for fact, by_value in counts.items()}


def _fits(value: str | int | None, known: tuple[str | int, ...]) -> bool:
    """Return True if a property's value is among the known ones.

    All depths beyond 8 bits are equivalent: files of 16 bits are containers whose depth is measured from the pixels, so
    that it differs between films of one device.
    """
    if isinstance(value, int) and value > 8:
        return any(isinstance(depth, int) and depth > 8 for depth in known)
    return value in known


def _common(counts: Mapping[str, int] | Mapping[int, int]) -> tuple[str | int, ...]:
    least = LEAST_SHARE * sum(counts.values())
    return tuple(value for value, count in counts.items() if count >= least)


def _this_film(film: Mapping[Fact, str | int | None]) -> str:
    """Return words such as 'a digital craniocaudal (CC) film of 12 bits by Hologic'."""
    before, noun = _noun(film["acquisition"])
    view = _view_name(film["view"]) if film["view"] else ""
    words = " ".join(part for part in (before, view, noun) if part)
    article = "an" if words[0] in "aeiou" else "a"
    bits = f" of {film['bits']} bits" if film["bits"] else ""
    vendor = f" by {film['vendor']}" if film["vendor"] else ""
    return f"{article} {words}{bits}{vendor}"


def _noun(acquisition: str | int | None) -> tuple[str, str]:
    """Return the word before the view and the noun after it."""
    if acquisition == "film scan":
        return "", "film scan"
    return str(acquisition or ""), "film"


def _view_name(view: str | int) -> str:
    return _VIEWS.get(str(view), str(view))


def _depths(known: Iterable[str | int]) -> list[str]:
    """Describe depths as '8' and '10 to 12'.

    Those beyond 8 bits differ between films of one device.
    """
    depths = sorted(int(depth) for depth in known)
    deep = [depth for depth in depths if depth > 8]
    ends = list(dict.fromkeys((*deep[:1], *deep[-1:])))
    return [str(depth) for depth in depths if depth <= 8] + ([" to ".join(map(str, ends))] if ends else [])


def _listed(values: Iterable[str | int]) -> str:
    *first, last = [str(value) for value in values] or [""]
    return f"{', '.join(first)} and {last}" if first else last
