"""Terms under which a data set may be used. They follow its films to every card, report and promotion."""

from pydantic import Field

from shared.domain.records import Record


class Terms(Record):
    """What the owner of a data set permits."""

    text: str = Field(description="the terms in a sentence, with the source to cite")
    redistribute: bool = Field(description="the films may be passed on")
    release_models: bool = Field(description="models that were trained on the films may be put into use or passed on")


MIAS_TERMS = Terms(
    text="mini-MIAS (Suckling et al. 1994): research only; not to be rented, leased or sold; cite it.",
    redistribute=False,
    release_models=True,
)
SYNTHETIC_TERMS = Terms(text="Generated films; no person's data.", redistribute=True, release_models=True)
