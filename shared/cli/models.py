"""The commands `mammo models ...`: list, promote and roll back models."""

import getpass
import os
from typing import Annotated

import typer

from shared.cli.console import console, listing, show_listing
from shared.errors import InputError, ModelCorrupt, ModelNotFound, ObjectOfLaterRelease, ObjectUnreadable
from shared.modelling.card import ModelCard
from shared.modelling.network_table import NETWORKS, NETWORKS_TEXT
from shared.settings import StoreSettings, read_settings
from shared.store import models
from shared.store.interface import ObjectStore
from shared.store.objects import open_store

app = typer.Typer(no_args_is_help=True, help="List, inspect, promote and roll back published models.")
NetworkArgument = Annotated[str, typer.Argument(help=f"Network: {NETWORKS_TEXT}.")]
Reason = Annotated[str | None, typer.Option(help="Reason for the audit trail; `promote --force` requires one.")]
Alias = Annotated[str, typer.Option(help=f"Alias to move: {', '.join(models.ALIASES)}.")]


@app.command("list")
def list_models() -> None:
    """List all published versions with their macro AUC and aliases."""
    store = _store()
    table = listing("version", "network", "data set", "protocol", "macro AUC", "")
    for network in sorted({*NETWORKS, *models.networks(store)}):
        aliases = {alias: _points_to(store, network, alias) for alias in models.ALIASES}
        versions = models.versions(store, network)
        for version in sorted({*filter(None, aliases.values())} - {*versions}):
            names = ", ".join(alias for alias, current in aliases.items() if current == version)
            table.add_row(version, network, "DELETED", "", "", names)
        for version in versions:
            try:
                card = models.read_card(store, network, version)
            except (ModelCorrupt, ObjectOfLaterRelease) as error:
                what = "DAMAGED" if isinstance(error, ModelCorrupt) else "OF A LATER RELEASE"
                table.add_row(version, network, what, "", "", "")
                continue
            dataset = f"{card.dataset} (SYNTHETIC)" if card.synthetic else card.dataset
            auc = card.metrics.macro_auc
            figure = "not defined" if auc.value is None else f"{auc.value:.3f}"
            names = ", ".join(alias for alias, current in aliases.items() if current == version)
            table.add_row(version, network, dataset, card.protocol, figure, names)
    if not table.row_count:
        console.print("there are no published models yet; start a run with `mammo run`")
        return
    show_listing(table)


@app.command()
def card(
    network: NetworkArgument,
    version: Annotated[str, typer.Argument(help="A version, as printed by `mammo models list`.")],
) -> None:
    """Print a model's card: intended use, training data, metrics, limits."""
    console.print_json(models.read_card(_store(), network, version).model_dump_json())


@app.command()
def schema() -> None:
    """Print the JSON schema of a model's card."""
    console.print_json(data=ModelCard.model_json_schema())


@app.command()
def promote(
    network: NetworkArgument,
    version: Annotated[str, typer.Argument(help="A version, as printed by `mammo models list`.")],
    reason: Reason = None,
    force: Annotated[bool, typer.Option("--force", help="Skip the comparison with the model in production.")] = False,
    alias: Alias = models.PRODUCTION,
) -> None:
    """Put a version into production. Inference picks it up without a restart."""
    if force and not reason:
        raise InputError("--force skips the promotion gate; give the reason with --reason")
    why = reason or "promoted by hand"
    move = models.promote(
        _store(), network, version, models.MoveReason(by=_who(), why=why), force=force, alias=_alias(alias)
    )
    console.print(f"{network} {move.version} is {_in_place(move)}{_before(move)}")


@app.command()
def rollback(network: NetworkArgument, reason: Reason = None, alias: Alias = models.PRODUCTION) -> None:
    """Put the previous version back into production."""
    why = reason or "rolled back by hand"
    move = models.rollback(_store(), network, models.MoveReason(by=_who(), why=why), alias=_alias(alias))
    console.print(f"{network} {move.version} is {_in_place(move)}{_before(move)}")


@app.command()
def history(network: NetworkArgument) -> None:
    """List a network's promotions and rollbacks, with time, person and reason."""
    for move in models.history(_store(), network):
        forced = " (forced)" if move.forced else ""
        console.print(
            f"{move.when}  {move.alias}: {move.previous or 'nothing'} -> {move.version}{forced}, {move.by}: {move.why}",
            markup=False,
        )


def _points_to(store: ObjectStore, network: str, alias: str) -> str | None:
    try:
        return models.read_alias(store, network, alias).version
    except ModelNotFound:
        return None
    except (ObjectUnreadable, ObjectOfLaterRelease) as error:
        console.print(f"{error}; `mammo models promote {network} VERSION --alias {alias}` writes it anew", markup=False)
        return None


def _alias(name: str) -> str:
    """Check the name of an alias.

    Raises:
        InputError: there is no such alias.
    """
    if name not in models.ALIASES:
        raise InputError(f"there is no alias '{name}'; choose one of {', '.join(models.ALIASES)}")
    return name


def _in_place(move: models.AliasMove) -> str:
    return "in production" if move.alias == models.PRODUCTION else f"the {move.alias}"


def _who() -> str:
    """Return the user's name, or the numeric user ID in a container without names."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _before(move: models.AliasMove) -> str:
    return f"; before: {move.previous}" if move.previous else ""


def _store() -> ObjectStore:
    return open_store(read_settings(StoreSettings))
