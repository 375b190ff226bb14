"""The command `mammo retrain`, for a job that runs at set times."""

from typing import Annotated

import typer

from shared.cli.runs import FromScratch, StartOptions, WaitOption, Weights, start_run
from shared.modelling.network_table import as_network
from shared.runs.plan import RunOptions
from shared.settings import RetrainingProcessSettings, read_settings


def retrain(
    dataset: Annotated[
        str | None,
        typer.Option(help="Data set instead of MAMMO_RETRAIN_DATASET: NAME, or NAME@VERSION for an earlier version."),
    ] = None,
    weights: Weights = None,
    from_scratch: FromScratch = False,
    wait: WaitOption = False,
) -> None:
    """Retrain as the settings say, if anything is new; promote what is better.

    Data set, network, profile and seed are MAMMO_RETRAIN_DATASET, _NETWORK, _PROFILE and _SEED. New are films that the
    data set was given since, another profile or seed, and another release; otherwise nothing is started. A version that
    is pinned, as NAME@VERSION, is trained once for each of them.
    """
    settings = read_settings(RetrainingProcessSettings).retraining
    networks = [as_network(settings.network)]
    start_run(
        StartOptions(dataset or settings.dataset, settings.profile, None, weights, None, from_scratch),
        RunOptions(
            networks=networks,
            protocols=("patient",),
            weights={},
            promote=networks,
            seed=settings.seed,
            only_if_better=True,
        ),
        wait=wait,
        only_if_new=True,
    )
