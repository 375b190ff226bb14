"""`mammo keys ...`: who may ask the inference service for what."""

import os
from typing import Annotated

import typer

from shared.api.keys import SCOPES, Scope
from shared.cli.console import console, listing, show_listing
from shared.errors import InputError
from shared.settings import StoreSettings, settings
from shared.store.api_keys import ApiKey, add_key, describe_key, new_key, read_keys, revoke_key, rotate_key
from shared.store.objects import open_store

app = typer.Typer(no_args_is_help=True, help="API keys of the inference service: create, list, rotate, revoke.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it, such as pacs or prometheus.")],
    scope: Annotated[list[str], typer.Option(help=f"One of {', '.join(SCOPES)}; may be given several times.")],
    days: Annotated[int | None, typer.Option(min=1, help="After which it ends.")] = None,
    a_minute: Annotated[int | None, typer.Option(min=1, help="Most requests in a minute.")] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="Most requests at the same time.")] = None,
    from_env: Annotated[
        str | None, typer.Option(help="An environment variable that holds a key of this form; else one is made.")
    ] = None,
) -> None:
    """Make a key, and show it this once: only its hash is kept."""
    key = _of_environment(from_env) if from_env else new_key()
    kept = describe_key(
        key, name, [_scope(each) for each in scope], days=days, requests_a_minute=a_minute, requests_at_once=at_once
    )
    add_key(open_store(settings(StoreSettings)), kept)
    console.print(f"key {kept.id} '{name}' is good for {', '.join(kept.scopes)}, {_end(kept)}")
    if not from_env:
        _show(key)


@app.command("list")
def list_keys() -> None:
    """What is kept of all keys."""
    ring = read_keys(open_store(settings(StoreSettings)))
    table = listing("id", "name", "scopes", "created", "ends", "a minute", "at once")
    for key in ring.keys:
        limits = (str(limit or "no limit") for limit in (key.requests_a_minute, key.requests_at_once))
        table.add_row(key.id, key.name, ", ".join(key.scopes), key.created, key.expires or "never", *limits)
    if ring.keys:
        show_listing(table)
    else:
        console.print("There is no API key. Make one: mammo keys create NAME --scope predict")


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `mammo keys list` shows it.")],
    overlap_hours: Annotated[float, typer.Option(min=0, help="For how long the old key still works.")] = 24.0,
) -> None:
    """Make a key that follows another one: same name, scopes and limits."""
    key, kept = rotate_key(open_store(settings(StoreSettings)), key_id, overlap_hours)
    console.print(f"key {kept.id} follows {key_id}, which ends in {overlap_hours:g} hours")
    _show(key)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="As `mammo keys list` shows it.")]) -> None:
    """End a key now; running services notice within seconds."""
    console.print(f"key {key_id} '{revoke_key(open_store(settings(StoreSettings)), key_id).name}' is revoked")


def _scope(name: str) -> Scope:
    for scope in SCOPES:
        if scope == name:
            return scope
    raise InputError(f"there is no scope '{name}'; choose one of {', '.join(SCOPES)}")


def _of_environment(variable: str) -> str:
    if not os.environ.get(variable):
        raise InputError(f"the environment variable {variable} is empty; put a key there, or leave out --from-env")
    return os.environ[variable]


def _end(key: ApiKey) -> str:
    return f"until {key.expires}" if key.expires else "without an end"


def _show(key: str) -> None:
    console.print(f"  {key}\nIt is not shown again. Clients send it as 'Authorization: Bearer KEY'.", markup=False)
