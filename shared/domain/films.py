"""Records of films and data sets that pass through all stages.

Coordinates are pixels from the top left edge of the film, x to the right and y downwards.
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from pydantic import Field

from shared.digests import sha256_hex
from shared.domain.lesions import Lesion
from shared.domain.records import Label, Record
from shared.domain.terms import MIAS_TERMS, SYNTHETIC_TERMS, Terms
from shared.errors import PlanError

Acquisition: TypeAlias = Literal["film scan", "digital", "synthesized"]
"""A scanned film; a detector or image plate; a 2D image computed from tomosynthesis, such as Hologic's C-View."""
_MANY_SHARDS = 100_000


Side: TypeAlias = Literal["left", "right"]
ViewName: TypeAlias = Literal["CC", "MLO"]
"""The views of screening."""
Density: TypeAlias = Literal["F", "G", "D"]
"""Fatty, fatty-glandular or dense-glandular, the classes of MIAS."""
ImageFormat: TypeAlias = Literal["PGM", "PNG", "JPEG", "TIFF", "DICOM"]


def _as_in_mias(default: Any, description: str) -> Any:
    return Field(default, description=description, exclude_if=lambda value: value == default)


class Exposure(Record):
    """Exam and acquisition of a film; None: unknown.

    The defaults are those of mini-MIAS, the only layout before these fields existed, so old objects are read
    correctly. A field with its default is not written, so that digests of such data sets stay the same. Sources of
    other films set all fields.
    """

    view: str | None = _as_in_mias("MLO", "view position: CC, MLO, ...")
    exam: str | None = _as_in_mias(None, "id of the study; None: all films of the patient are one exam")
    acquisition: Acquisition | None = _as_in_mias("film scan", "way in which the image came about")
    vendor: str | None = _as_in_mias(None, "maker of the device")
    bits: int | None = _as_in_mias(8, "depth of the film as it came")
    spacing: tuple[float, float] | None = _as_in_mias(None, "millimetres from row to row and from column to column")
    group: str | None = _as_in_mias(None, "site or device, by which results can be told apart")
    official_split: Literal["training", "test"] | None = _as_in_mias(None, "part of the data set's own division")

    @property
    def exposure(self) -> dict[str, Any]:
        """These fields alone, for the record of an image that is made of the film."""
        return {name: getattr(self, name) for name in Exposure.model_fields}


class Film(Exposure):
    """One mammogram of a data set. `label` is that of its worst lesion."""

    id: str
    patient: str
    side: Side
    density: Density | None = Field(description="fatty, fatty-glandular or dense-glandular; None: unknown")
    label: Label
    lesions: tuple[Lesion, ...]
    sha256: str = Field(description="of the image file as it is stored")
    width: int
    height: int
    format: ImageFormat = _as_in_mias("PGM", "format of the image file")
    key: str | None = _as_in_mias(
        None, "key of the image file below the data set's prefix; None: by its id, as before 0.2"
    )


class Origin(Record):
    """Where the films of a data set come from and how they may be used, as its manifest says.

    A field with its default is not written, so that manifests of mini-MIAS stay as they were.
    """

    dataset: str
    synthetic: bool
    terms: Terms | None = _as_in_mias(None, "None: those of mini-MIAS, or of generated films")
    labelling: str | None = _as_in_mias(None, "how labels were made of the data set's own findings, in words")

    @property
    def known_terms(self) -> Terms:
        """The terms of use, whether or not the manifest says them."""
        return self.terms or (SYNTHETIC_TERMS if self.synthetic else MIAS_TERMS)


class Manifest(Origin):
    """All films of a data set, in the order of their ids; films that were added later come after the others."""

    films: tuple[Film, ...]


class EarlierVersion(Record):
    """A version of a data set before films were added to it; its shards are kept."""

    films: int
    sha256: str
    content: str


class Dataset(Origin):
    """Summary of a data set whose films are stored in shards, in the order of ids.

    The shards are units of work as well, so `shard_films` is fixed at ingestion.
    """

    films: int
    shard_films: int
    patients: dict[Label, int] = Field(description="how many patients have a film with that label")
    sha256: str = Field(description="of all that is known of its films")
    content: str = Field("", description="digest that names where its films and shards are stored; '' before 0.2")
    version: int = _as_in_mias(1, "grows with every addition of films")
    parts: tuple[int, ...] = _as_in_mias((), "films that each version added; (): all came at once")
    earlier: tuple[EarlierVersion, ...] = _as_in_mias((), "the versions before this one, the first one first")

    @property
    def shards(self) -> tuple[int, ...]:
        """How many films each shard has, in order; no shard holds films of two versions."""
        return shard_sizes(self.parts or (self.films,), self.shard_films)


class FilmShard(Record):
    """Some films of a data set, as they are stored."""

    films: tuple[Film, ...]


class Elastic(Record):
    """A smooth displacement: cubic B-splines on a control grid, drawn from `seed`."""

    seed: str
    amplitude: float = Field(description="largest displacement along x and along y, pixels")
    spacing: float = Field(description="of the control points, pixels")


class Transform(Record):
    """All parameters of a variant, sufficient to recreate it; defaults: identity.

    Manifests of recipes without elastic displacements are still read.
    """

    rotation_deg: float = Field(0.0, description="counter-clockwise about the film's centre")
    mirrored: bool = Field(False, description="left and right exchanged")
    upside_down: bool = False
    shift_x: float = Field(0.0, description="pixels to the right")
    shift_y: float = Field(0.0, description="pixels downwards")
    elastic: Elastic | None = Field(None, description="added to where in the film a pixel comes from")
    brightness: float = Field(1.0, description="gain of the grey values")
    contrast: float = Field(1.0, description="exponent on the grey values; the background stays at 0")


class Variant(Exposure):
    """An image of a stage with its film and patient, so that no stage mixes patients.

    Variant 0 is the film itself. `mask_key` and `mask_sha256` are set once it is segmented.
    """

    film: str
    patient: str
    side: Side
    density: Density | None
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
    """Result of a finished unit: images of its films, except those set aside."""

    dataset: str
    recipe: str
    shard: str
    source_sha256: str = Field(description="of what the unit was made from; another source makes it stale")
    variants: tuple[Variant, ...]
    set_aside: tuple[SetAside, ...] = ()


def as_it_was(dataset: Dataset, sha256: str) -> Dataset | None:
    """Return a data set as it was when its films had this digest; None if they never had."""
    digests = [*(version.sha256 for version in dataset.earlier), dataset.sha256]
    return version_of(dataset, digests.index(sha256) + 1) if sha256 in digests else None


def version_of(dataset: Dataset, number: int) -> Dataset | None:
    """Return a version of a data set, the first one being 1; None if it has none of this number."""
    if number == dataset.version:
        return dataset
    if not 1 <= number <= len(dataset.earlier):
        return None
    change = {**dict(dataset.earlier[number - 1]), "version": number, "parts": dataset.parts[:number]}
    return dataset.model_copy(update=change | {"earlier": dataset.earlier[: number - 1]})


def shard_sizes(parts: Iterable[int], shard_films: int) -> tuple[int, ...]:
    """Return how many films each shard has, if every part of a data set has shards of its own."""
    return tuple(min(shard_films, part - first) for part in parts for first in range(0, part, shard_films))


def grown(stored: Dataset, manifest: Manifest) -> Dataset:
    """Describe the next version of a data set; its films are the stored ones and, after them, those that are added."""
    described = describe(manifest)
    return described.model_copy(
        update={
            "shard_films": stored.shard_films,
            "version": stored.version + 1,
            "parts": (*(stored.parts or (stored.films,)), described.films - stored.films),
            "earlier": (
                *stored.earlier,
                EarlierVersion(films=stored.films, sha256=stored.sha256, content=stored.content),
            ),
        }
    )


def describe(manifest: Manifest) -> Dataset:
    """Summarise a manifest in shards of eight films, or more for huge data sets.

    There are at most a hundred thousand shards.
    """
    count = len(manifest.films)
    films = FilmShard(films=tuple(film.model_copy(update={"key": None}) for film in manifest.films))
    digest = sha256_hex(films.model_dump_json().encode())  # wherever the films are stored
    return Dataset(
        dataset=manifest.dataset,
        synthetic=manifest.synthetic,
        terms=manifest.terms,
        labelling=manifest.labelling,
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
    """Check that every label that occurs has enough patients for `folds` folds.

    Raises:
        PlanError: too few for training, validation and test, or fewer than two labels.
    """
    occurring = {label: having for label, having in patients.items() if having}
    if len(occurring) < 2:
        raise PlanError("the films have fewer than two labels, so there is nothing to tell apart; add films of another")
    for label, having in occurring.items():
        if having <= folds:
            raise PlanError(
                f"{having} patients have a film that is {label}, too few for training, validation and test on in "
                f"{folds} folds; use a profile with fewer folds, or more films"
            )
