"""Commands that ingest films and start, follow and resume runs."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from shared.cli.augmenting import ProfileName, RecipeFile, read_recipe
from shared.cli.console import console, evaluation_table, read_evaluation, weights_line
from shared.cli.installation import troubles
from shared.cli.pretrained import can_check_weights, check_weights, choose_weights
from shared.cli.progress import failure_line, follow, show_decisions, status_line, status_table
from shared.errors import ObjectOfLaterRelease, ObjectUnreadable, PlanError, RunError
from shared.modelling.network_table import NETWORKS, TRANSFER_NETWORKS, Network, as_network
from shared.modelling.profiles import Profile, profile
from shared.modelling.recipes import PROTOCOLS, Strided, as_protocol
from shared.queue.broker import Broker
from shared.queue.messages import Queue
from shared.runs import pipeline
from shared.runs.plan import TORCHVISION, Plan, RunOptions, check_plan, make_plan, read_plan
from shared.runs.retraining import earlier_run
from shared.runs.status import RunStatus, read_status
from shared.runs.unattended import unattended_runs
from shared.settings import BrokerSettings, StoreSettings, read_settings
from shared.store import layout
from shared.store.dataset_versions import read_dataset_version
from shared.store.interface import ObjectStore
from shared.store.objects import open_store

DatasetOption = Annotated[
    str, typer.Option(help="Data set in the store: NAME, or NAME@VERSION for an earlier version.")
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        help="Initial weights, NETWORK=FILE or NETWORK=KEY; default: torchvision's ImageNet weights. With "
        "NETWORK=torchvision the training workers download them."
    ),
]
FromScratch = Annotated[
    bool, typer.Option("--from-scratch", help="Train without pretrained weights where none are given.")
]
Strides = Annotated[
    Strided | None,
    typer.Option(help="Strided convolution of ResNet-50's blocks: 3x3 (torchvision), 1x1 (the paper's authors)."),
]
Seed = Annotated[int, typer.Option(help="The same seed on the same machine gives the same weights.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Show the progress until the run ends.")]


@dataclass(frozen=True)
class StartOptions:
    """What a new run starts from, as its options name it."""

    dataset: str
    profile: str
    recipe: Path | None
    weights: list[str] | None
    strided: Strided | None
    from_scratch: bool


def run(
    dataset: DatasetOption = "mias",
    profile_name: ProfileName = "quick",
    recipe: RecipeFile = None,
    network: Annotated[list[str] | None, typer.Option(help="Train only this network; repeatable.")] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="Split of the films: patient, official (the data set's own test), or paper (leaky); repeatable."
        ),
    ] = None,
    weights: Weights = None,
    strided: Strides = None,
    from_scratch: FromScratch = False,
    promote: Annotated[bool, typer.Option(help="Submit the new resnet50 to the promotion gate at the end.")] = True,
    seed: Seed = 7,
    wait: WaitOption = False,
) -> None:
    """Run the pipeline: augment, segment, train, evaluate, publish, promote."""
    networks = [as_network(name) for name in network or NETWORKS]
    protocols = [as_protocol(name) for name in protocol or PROTOCOLS]
    promoted = [name for name in networks if name == "resnet50" and promote]
    start_run(
        StartOptions(dataset, profile_name, recipe, weights, strided, from_scratch),
        RunOptions(networks=networks, protocols=protocols, weights={}, promote=promoted, seed=seed),
        wait=wait,
    )


def train(
    network: Annotated[str, typer.Option(help=f"The network to train: {', '.join(NETWORKS)}.")] = "resnet50",
    dataset: DatasetOption = "mias",
    profile_name: ProfileName = "quick",
    recipe: RecipeFile = None,
    weights: Weights = None,
    strided: Strides = None,
    from_scratch: FromScratch = False,
    promote: Annotated[
        bool, typer.Option("--promote-if-better", help="Promote the result if it beats the model in production.")
    ] = False,
    seed: Seed = 7,
    wait: WaitOption = False,
) -> None:
    """Retrain one network with the patient-wise protocol; publish a new version."""
    networks = [as_network(network)]
    start_run(
        StartOptions(dataset, profile_name, recipe, weights, strided, from_scratch),
        RunOptions(
            networks=networks,
            protocols=("patient",),
            weights={},
            promote=networks if promote else (),
            seed=seed,
            only_if_better=True,
        ),
        wait=wait,
    )


def status(
    run: Annotated[str | None, typer.Argument(help="The run to show; default: list all runs.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until the run ends.")] = False,
) -> None:
    """Show a run's progress and rate, from the store and the queue."""
    store = _store()
    if run is None:
        runs = pipeline.list_runs(store)
        for name in runs:
            try:
                console.print(status_line(read_status(store, name)))
            except (ObjectUnreadable, ObjectOfLaterRelease) as error:
                console.print(f"run {name}: {error}", markup=False)
        if not runs:
            console.print("there are no runs yet; start one with `mammo run`")
        for line in troubles(store, _queue):
            console.print(line, markup=False)
        return
    queue = _queue()
    current = read_status(store, run, queue)
    with Live(status_table(current), console=console) as live:
        while watch and current.state == "running":
            time.sleep(1)
            current = read_status(store, run, queue)
            live.update(status_table(current))
    if current.films_changed:
        console.print(
            f"[yellow]the data set {current.dataset} has other films now[/]: this run can't be resumed, and its "
            f"report and models are of the former films; `mammo run --dataset {current.dataset}` starts a new run"
        )
    if current.state in ("failed", "cancelled"):
        raise RunError(failure_line(current))
    if current.failures:
        console.print(failure_line(current), markup=False)
    show_decisions(current)
    if current.state == "running" and unattended_runs(store, queue, set()).count(run):
        console.print(f"nothing of it is left in the broker: `mammo resume {run}` enqueues what is missing")
    if current.state == "finished":
        console.print(f"report: {store.locate(layout.report_file(run, 'index.html'))}")


def resume(
    run: Annotated[str, typer.Argument(help="The run to finish.")],
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Check every image and its source first, and recreate what is damaged, missing or of other films.",
        ),
    ] = False,
    wait: WaitOption = False,
) -> None:
    """Enqueue a run's missing work; jobs that were given up are tried again."""
    store = _store()
    _tell_enqueued(store, run, pipeline.resume(store, _queue(), run, verify=verify), wait)


def retry(
    run: Annotated[str, typer.Argument(help="The run whose films to retry.")],
    wait: WaitOption = False,
) -> None:
    """Retry films that were set aside, after fixing the cause; resume the run."""
    store = _store()
    trained = read_status(store, run).finished_jobs
    count = pipeline.retry(store, _queue(), run)
    if count and trained:
        console.print(
            f"{len(trained)} jobs of run {run} were trained without these films, and all jobs of a run train "
            "on the same films: "
            "when the films are fixed, start a new run; it reuses all images"
        )
    _tell_enqueued(store, run, count, wait)


def cancel(run: Annotated[str, typer.Argument(help="The run to cancel.")]) -> None:
    """Cancel a run; finished work is kept, and `mammo resume` continues it."""
    store = _store()
    if read_status(store, run).state == "finished":
        raise RunError(f"run {run} is finished; there is nothing to cancel")
    pipeline.cancel(store, run)
    console.print(f"run {run} is cancelled; workers stop within seconds. Continue it with `mammo resume {run}`.")


def _tell_enqueued(store: ObjectStore, run: str, count: int, wait: bool) -> None:
    console.print(f"{count} units enqueued" if count else f"run {run} is finished; nothing was enqueued")
    if wait:
        _show(store, read_plan(store, run))


def start_run(start: StartOptions, choices: RunOptions, *, wait: bool, only_if_new: bool = False) -> None:
    """Start a run; the weights in `choices` are filled in from the options.

    Args:
        only_if_new: start nothing, and say so, if an earlier run trains the same on the same films.
    """
    store, queue, chosen_profile = _store(), _queue(), _chosen_profile(start)
    films = read_dataset_version(store, start.dataset)
    chosen = choose_weights(store, start.weights or [])
    if unused := chosen.keys() - set(choices.networks):
        raise PlanError(f"--weights names {', '.join(sorted(unused))}, which this run does not train; omit it")
    left_to_workers = {name for name, place in chosen.items() if place == TORCHVISION}
    if not start.from_scratch:
        transferred = [name for name in choices.networks if name in TRANSFER_NETWORKS]
        chosen = dict.fromkeys(transferred, TORCHVISION) | chosen
    plan = make_plan(films, chosen_profile, replace(choices, weights=chosen))
    check_plan(plan)
    if only_if_new and (earlier := earlier_run(store, plan)):
        console.print(_nothing_new(plan, read_status(store, earlier.run)), markup=False)
        return
    _check_weights(store, {name: place for name, place in chosen.items() if name not in left_to_workers})
    pipeline.start(store, queue, plan)
    kind = "SYNTHETIC films" if plan.synthetic else "films"
    console.print(
        f"run {plan.run} over {plan.films} {kind} of {start.dataset} is enqueued. "
        f"Follow it: mammo status {plan.run} --watch"
    )
    if plan.large:
        console.print("the data set is large: no augmented copies are stored, films are changed while they are loaded")
    if wait:
        _show(store, plan)


def _nothing_new(plan: Plan, earlier: RunStatus) -> str:
    """Say why nothing is started, and what would make a new run."""
    states = {
        "finished": "has trained",
        "running": "is training",
        "failed": f"was given up (`mammo resume {earlier.run}` continues it) while it trained",
    }
    return (
        f"nothing is new, so nothing is started: run {earlier.run} {states.get(earlier.state, 'trains')} "
        f"{', '.join(plan.networks)} on these {plan.films} films of data set {plan.dataset}, with the same recipe, "
        f"seed {plan.seed} and release. New films, another recipe or seed, or a new release make a new run."
    )


def _chosen_profile(start: StartOptions) -> Profile:
    """Return the profile with what the options change in it."""
    chosen = profile(start.profile)
    if start.recipe is not None:
        chosen = chosen.model_copy(update={"augmentation": read_recipe(start.recipe)})
    return chosen if start.strided is None else chosen.strided(start.strided)


def _check_weights(store: ObjectStore, weights: dict[Network, str]) -> None:
    """Check the weights before hours of image processing are spent.

    Raises:
        WeightsUnavailable: training could not start from them.
    """
    if not weights:
        return
    if not can_check_weights():
        console.print("torch is not installed here, so the pretrained weights can't be checked before training")
        return
    with console.status("checking the pretrained weights"):
        check_weights(store, weights)


def _show(store: ObjectStore, plan: Plan) -> None:
    follow(store, plan)
    evaluation = read_evaluation(store, plan.run)
    console.print(evaluation_table(evaluation))
    console.print(weights_line(evaluation))
    console.print(f"report: {store.locate(layout.report_file(plan.run, 'index.html'))}")


def _store() -> ObjectStore:
    return open_store(read_settings(StoreSettings))


def _queue() -> Queue:
    return Broker.open(read_settings(BrokerSettings))
