"""What is known of a film and of a data set: the records that travel through every stage.

Coordinates have their origin at the top left edge of the film, x to the right and y downwards, in pixels.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from pydantic import Field

from shared.domain.records import Label, Record
from shared.errors import PlanError

Acquisition: TypeAlias = Literal["film scan", "digital", "synthesized"]
"""A scanned film; a detector or image plate; a 2D image computed from tomosynthesis, such as Hologic's C-View."""
_MANY_SHARDS = 100_000


class Lesion(Record):
    """One abnormality: the class of MIAS (CALC, CIRC, ...) and, where it was localised, its enclosing circle."""

    kind: str
    label: Label
    x: float | None = None
    y: float | None = None
    radius: float | None = None

    def mirrored(self, width: int) -> "Lesion":
        """On the film (so many pixels wide) with left and right exchanged; places are measured from its edges."""
        return self if self.x is None else self.model_copy(update={"x": width - self.x})


def _as_in_mias(default: str | int | None, description: str) -> Any:
    return Field(default, description=description, exclude_if=lambda value: value == default)


class Exposure(Record):
    """State of which exam a film is and how it was taken; None where that is not known.

    The defaults are those of mini-MIAS, whose form all data sets had before these fields existed: what was stored then
    is read as what it is. A field with its default is not written, so that digests of such data sets stay the same.
    Whoever makes records of films of another source sets all of them.
    """

    view: str | None = _as_in_mias("MLO", "view position: CC, MLO, ...")
    exam: str | None = _as_in_mias(None, "id of the study; None: all films of the patient are one exam")
    acquisition: Acquisition | None = _as_in_mias("film scan", "way in which the image came about")
    vendor: str | None = _as_in_mias(None, "maker of the device")
    bits: int | None = _as_in_mias(8, "depth of the film as it came")

    @property
    def exposure(self) -> dict[str, str | int | None]:
        """These fields alone, for the record of an image that is made of the film."""
        return {name: getattr(self, name) for name in Exposure.model_fields}


class Film(Exposure):
    """One mammogram of a data set. `label` is that of its worst lesion."""

    id: str
    patient: str
    side: Literal["left", "right"]
    density: Literal["F", "G", "D"] = Field(description="fatty, fatty-glandular or dense-glandular")
    label: Label
    lesions: tuple[Lesion, ...]
    sha256: str = Field(description="of the image file as it was ingested")
    width: int
    height: int


class Manifest(Record):
    """All films of a data set, in the order of their ids."""

    dataset: str
    synthetic: bool
    films: tuple[Film, ...]


class Dataset(Record):
    """What is known of a data set without reading its films, which are stored in shards, in the order of their ids.

    The shards are units of work as well, so `shard_films` is fixed when a data set is ingested.
    """

    dataset: str
    synthetic: bool
    films: int
    shard_films: int
    patients: dict[Label, int] = Field(description="how many patients have a film with that label")
    sha256: str = Field(description="of all that is known of its films")
    content: str = Field("", description="digest that names where its films and shards are stored; '' before 0.2")


class FilmShard(Record):
    """Some films of a data set, as they are stored."""

    films: tuple[Film, ...]


class Elastic(Record):
    """A smooth displacement: cubic B-splines over a grid of control points, drawn evenly from `seed`."""

    seed: str
    amplitude: float = Field(description="largest displacement along x and along y, pixels")
    spacing: float = Field(description="of the control points, pixels")


class Transform(Record):
    """How a variant was made from its film, with all that it takes to make it again; the defaults leave the film as it
    is. Manifests of recipes before elastic displacements read as what they are: without one."""

    rotation_deg: float = Field(0.0, description="counter-clockwise about the film's centre")
    mirrored: bool = Field(False, description="left and right exchanged")
    upside_down: bool = False
    shift_x: float = Field(0.0, description="pixels to the right")
    shift_y: float = Field(0.0, description="pixels downwards")
    elastic: Elastic | None = Field(None, description="added to where in the film a pixel comes from")
    brightness: float = Field(1.0, description="gain of the grey values")
    contrast: float = Field(1.0, description="exponent on the grey values; the background stays at 0")


class Variant(Exposure):
    """One image of a stage, with all that ties it to its film, so that no later stage can mix patients.

    Variant 0 is the film itself. `mask_key` and `mask_sha256` are there once it was segmented.
    """

    film: str
    patient: str
    side: Literal["left", "right"]
    density: Literal["F", "G", "D"]
    label: Label
    variant: int
    transform: Transform
    lesions: tuple[Lesion, ...]
    key: str
    sha256: str
    mask_key: str | None = None
    mask_sha256: str | None = None
    flipped: bool = Field(False, description="left and right were exchanged to get the chest wall to the left")

    @property
    def id(self) -> str:
        return f"{self.film}/{self.variant:03d}"


class SetAside(Record):
    """A film that a stage could not work on after `tries` tries, and why."""

    film: str
    stage: str
    code: str
    message: str
    tries: int


class Shard(Record):
    """What one finished unit of work of a stage wrote: the images of its films, but of those that were set aside."""

    dataset: str
    recipe: str
    shard: str
    source_sha256: str = Field(description="of what the unit was made from; another source makes it stale")
    variants: tuple[Variant, ...]
    set_aside: tuple[SetAside, ...] = ()


def describe(manifest: Manifest) -> Dataset:
    """Shards have eight films, and more where there would be more than a hundred thousand of them."""
    count = len(manifest.films)
    digest = hashlib.sha256(FilmShard(films=manifest.films).model_dump_json().encode()).hexdigest()
    return Dataset(
        dataset=manifest.dataset,
        synthetic=manifest.synthetic,
        films=count,
        shard_films=max(8, -(-count // _MANY_SHARDS)),
        patients=patients_by_label(manifest.films),
        sha256=digest,
        content=digest,
    )


def patients_by_label(images: Iterable[Film | Variant]) -> dict[Label, int]:
    patients: dict[Label, set[str]] = {label: set() for label in Label}
    for image in images:
        patients[image.label].add(image.patient)
    return {label: len(having) for label, having in patients.items()}


def check_enough_patients(patients: dict[Label, int], folds: int) -> None:
    """Raises PlanError when some label has too few patients to train, validate and test with in `folds` folds."""
    for label, having in patients.items():
        if having <= folds:
            raise PlanError(
                f"{having} patients have a film that is {label}, too few to train, validate and test on in "
                f"{folds} folds; take a profile with fewer folds, or more films"
            )
