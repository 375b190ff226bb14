"""The settings of retraining at set times."""

from pydantic import Field

from shared.settings.base import SettingsGroup


class RetrainingSettings(SettingsGroup):
    """Retraining at set times (`mammo retrain`)."""

    dataset: str = Field(
        "mias",
        validation_alias="MAMMO_RETRAIN_DATASET",
        description="Data set to train on, with all films that it has by then; NAME@VERSION pins one of its versions.",
    )
    network: str = Field(
        "resnet50",
        validation_alias="MAMMO_RETRAIN_NETWORK",
        description="Network that is trained: `mammo train --help`.",
    )
    profile: str = Field(
        "full",
        validation_alias="MAMMO_RETRAIN_PROFILE",
        description="Profile of the run; docs/how-to/train-and-promote.md lists them.",
    )
    seed: int = Field(
        7,
        validation_alias="MAMMO_RETRAIN_SEED",
        description="Seed of the division into folds and of training; another seed makes a new run of the same films.",
    )
