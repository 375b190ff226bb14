"""The commands `mammo batch ...`: batches of predictions over HTTP."""

import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from shared.api.batches import Batch, BatchRequest
from shared.cli.console import bars, console, listing, show_listing
from shared.client import InferenceClient
from shared.errors import InputError
from shared.settings import ClientSettings, read_settings

app = typer.Typer(no_args_is_help=True, help="Predict many images of the object store in the background.")

Url = Annotated[str, typer.Option(help="Address of the inference service.")]
BatchId = Annotated[str, typer.Argument(metavar="ID", help="The batch's ID, as printed by `mammo batch create`.")]
_HERE = "http://127.0.0.1:8080"
_LOOK_EVERY_S = 1.0


@app.command()
def create(
    keys: Annotated[list[str] | None, typer.Argument(help="Store keys of images, such as inbox/a.dcm.")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Predict all images below this prefix, such as inbox/today/.")
    ] = None,
    operating_point: Annotated[str, typer.Option(help="An operating point of the model's card.")] = "screening",
    heatmaps: Annotated[bool, typer.Option("--heatmaps", help="Store class-activation maps as well.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Repeating a request with the same key and images returns the same batch.")
    ] = None,
    url: Url = _HERE,
) -> None:
    """Create a batch from images of the object store, below MAMMO_BATCH_PREFIX."""
    if bool(keys) == bool(prefix):
        raise InputError("give either store keys of images or --prefix, not both and not neither")
    images = {"keys": tuple(keys)} if keys else {"prefix": prefix}
    try:
        request = BatchRequest(**images, operating_point=operating_point, explain="heatmap" if heatmaps else None)
    except ValidationError as error:
        raise InputError(
            f"the batch request is invalid: {error.errors()[0]['msg'].lower()}; correct the command"
        ) from None
    batch = _client(url).create_batch(request, idempotency_key)
    console.print(f"batch {batch.id}: {batch.images} images, model {batch.network} {batch.version}")
    console.print(f"Next: mammo batch status {batch.id} --follow, mammo batch results {batch.id}")


@app.command()
def status(
    batch_id: BatchId,
    follow: Annotated[bool, typer.Option("--follow", help="Show the progress until the batch ends.")] = False,
    url: Url = _HERE,
) -> None:
    """Show the state of a batch."""
    client = _client(url)
    batch = client.batch(batch_id)
    if follow:
        batch = _follow(client, batch)
    _show(batch)


@app.command()
def results(
    batch_id: BatchId,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
    url: Url = _HERE,
) -> None:
    """Print the results so far: one line of JSON per image, in order."""
    lines = (line.model_dump_json() for line in _client(url).batch_results(batch_id))
    if out is None:
        for line in lines:
            typer.echo(line)
        return
    with out.open("w", encoding="utf-8") as file:
        count = sum(1 for line in lines if file.write(f"{line}\n"))
    console.print(f"{count} lines written to {out}")


@app.command("list")
def list_batches(
    limit: Annotated[int, typer.Option(min=1, max=100, help="Show at most this many, the newest first.")] = 20,
    url: Url = _HERE,
) -> None:
    """List the batches of this API key's name, the newest first."""
    table = listing("id", "state", "done", "failed", "images", "model", "created")
    batches = _client(url).batches(limit).batches
    for batch in batches:
        counts = (str(count) for count in (batch.done, batch.failed, batch.images))
        table.add_row(batch.id, batch.state, *counts, f"{batch.network} {batch.version}", batch.created)
    if batches:
        show_listing(table)
    else:
        console.print("There are no batches. Create one: mammo batch create --prefix inbox/")


@app.command()
def resume(batch_id: BatchId, url: Url = _HERE) -> None:
    """Enqueue a batch's missing images, after the broker failed or lost messages."""
    _show(_client(url).resume_batch(batch_id))


@app.command()
def cancel(batch_id: BatchId, url: Url = _HERE) -> None:
    """Cancel a batch; finished results are kept."""
    _show(_client(url).cancel_batch(batch_id))


def _follow(client: InferenceClient, batch: Batch) -> Batch:
    with bars() as progress:
        bar = progress.add_task("images", total=batch.images, note="")
        while True:
            progress.update(bar, completed=batch.done, note=f"{batch.failed} failed" if batch.failed else "")
            if batch.state in ("done", "cancelled"):
                return batch
            time.sleep(_LOOK_EVERY_S)
            batch = client.batch(batch.id)


def _show(batch: Batch) -> None:
    end = f", ended {batch.ended}" if batch.ended else ""
    console.print(
        f"batch {batch.id}: {batch.state}, {batch.done} of {batch.images} images done, {batch.failed} of them failed, "
        f"model {batch.network} {batch.version}{end}"
    )


def _client(url: str) -> InferenceClient:
    return InferenceClient(url, read_settings(ClientSettings).key)
