"""The commands `mammo keys ...`: API keys of the inference service."""

import os
from typing import Annotated

import typer

from shared.api.keys import SCOPES, Scope
from shared.cli.console import console, listing, show_listing
from shared.errors import InputError
from shared.settings import StoreSettings, read_settings
from shared.store.api_keys import ApiKey, add_key, describe_key, new_key, read_keys, revoke_key, rotate_key
from shared.store.objects import open_store

app = typer.Typer(no_args_is_help=True, help="API keys of the inference service: create, list, rotate, revoke.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The client that will use the key, such as pacs or prometheus.")],
    scope: Annotated[list[str], typer.Option(help=f"One of {', '.join(SCOPES)}; repeatable.")],
    days: Annotated[int | None, typer.Option(min=1, help="Days until the key expires; default: never.")] = None,
    a_minute: Annotated[int | None, typer.Option(min=1, help="Maximum requests per minute; default: no limit.")] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="Maximum concurrent requests; default: no limit.")] = None,
    from_env: Annotated[
        str | None,
        typer.Option(help="Environment variable that holds the key to register; default: a new key is generated."),
    ] = None,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="If access/keys.json is unreadable, discard all keys in it and start a new file."),
    ] = False,
) -> None:
    """Create an API key and print it once; only its hash is stored."""
    key = _key_from_environment(from_env) if from_env else new_key()
    stored = describe_key(
        key, name, [_scope(each) for each in scope], days=days, requests_a_minute=a_minute, requests_at_once=at_once
    )
    add_key(open_store(read_settings(StoreSettings)), stored, anew=anew)
    console.print(f"key {stored.id} '{name}' is valid for {', '.join(stored.scopes)}, {_end(stored)}")
    if not from_env:
        _show(key)


@app.command("list")
def list_keys() -> None:
    """List all API keys, without the keys themselves."""
    ring = read_keys(open_store(read_settings(StoreSettings)))
    table = listing("id", "name", "scopes", "created", "ends", "a minute", "at once")
    for key in ring.unrevoked:
        limits = (str(limit or "no limit") for limit in (key.requests_a_minute, key.requests_at_once))
        table.add_row(key.id, key.name, ", ".join(key.scopes), key.created, key.expires or "never", *limits)
    if ring.unrevoked:
        show_listing(table)
    else:
        console.print("There are no API keys. Create one: mammo keys create NAME --scope predict")


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's ID, as printed by `mammo keys list`.")],
    overlap_hours: Annotated[float, typer.Option(min=0, help="Hours until the old key expires.")] = 24.0,
) -> None:
    """Replace a key by a new one with the same name, scopes and limits."""
    key, stored = rotate_key(open_store(read_settings(StoreSettings)), key_id, overlap_hours)
    console.print(f"key {stored.id} replaces {key_id}, which expires in {overlap_hours:g} hours")
    _show(key)
    console.print(
        "Put it where the old key is: a client's settings; METRICS_KEY or MAMMO_API_KEY in .env, then "
        "`docker compose up --detach`; on Kubernetes the Secret api-keys. Otherwise Prometheus is refused when the old "
        "key expires."
    )


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's ID, as printed by `mammo keys list`.")],
) -> None:
    """Revoke a key now; running services apply it within seconds."""
    console.print(f"key {key_id} '{revoke_key(open_store(read_settings(StoreSettings)), key_id).name}' is revoked")


def _scope(name: str) -> Scope:
    for scope in SCOPES:
        if scope == name:
            return scope
    raise InputError(f"there is no scope '{name}'; choose one of {', '.join(SCOPES)}")


def _key_from_environment(variable: str) -> str:
    if not os.environ.get(variable):
        raise InputError(f"the environment variable {variable} is empty; set it to a key, or omit --from-env")
    return os.environ[variable]


def _end(key: ApiKey) -> str:
    return f"until {key.expires}" if key.expires else "without expiry"


def _show(key: str) -> None:
    console.print(
        f"  {key}\nIt is not shown again. Clients send it in the header 'Authorization: Bearer KEY'.", markup=False
    )
