"""The evaluation of a published version on another data set, the content of its metrics.json."""

from pydantic import Field

from shared.domain.overlap import LeftOut
from shared.domain.records import Record
from shared.domain.terms import Terms
from shared.modelling.evaluation import LevelResult, PooledOperatingPoint, SideBySide
from shared.modelling.metrics import ModelMetrics
from shared.modelling.subgroups import GroupMetrics


class RefusedFilm(Record):
    """A film that the version can't judge, as the inference service would refuse it."""

    film: str
    code: str
    message: str


class ExternalEvaluation(Record):
    """External validation: a version on films of another data set, judged as inference judges them.

    Nothing is fitted on these films: temperature, thresholds and the comparison of both breasts are those of the card.
    """

    evaluation: str = Field(description="name of the evaluation")
    created: str = Field(description="ISO 8601")
    code_version: str
    network: str
    version: str
    run: str = Field(description="run that trained the version")
    trained_on: str = Field(description="data set that the version was trained on")
    dataset: str = Field(description="data set that it is tested on")
    dataset_version: int
    films_sha256: str = Field(description="digest of what is known of the data set's films")
    synthetic: bool = Field(description="the films were generated")
    terms: Terms = Field(description="of the data set")
    labelling: str | None = Field(description="how labels were made of the data set's own findings")
    training_terms: str = Field(description="terms of the data set that the version was trained on")
    films: int = Field(description="of the data set")
    patients: int
    left_out: LeftOut
    refused: tuple[RefusedFilm, ...]
    class_counts: dict[str, int] = Field(description="films that were judged, by the value of their label")
    metrics: ModelMetrics = Field(description="by film")
    operating_points: tuple[PooledOperatingPoint, ...]
    bins: tuple[tuple[float, float, int], ...] = Field(
        description="calibration: mean confidence, accuracy and films of each bin"
    )
    side_by_side: SideBySide | None = Field(
        description="films compared with the other breast; None if the card has no comparison, or no patient has both"
    )
    levels: tuple[LevelResult, ...] = Field(description="by breast and by exam; none if the card has no rule for them")
    groups: tuple[GroupMetrics, ...]
    cross_validated: ModelMetrics = Field(description="the card's own figures, on the data set that it was trained on")
