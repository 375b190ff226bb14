"""`mammo batch ...`: predictions of many films of the object store, by the workers of the inference service."""

import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from shared.api.batches import Batch, BatchRequest
from shared.cli.console import bars, console, listing, show_listing
from shared.client import InferenceClient
from shared.errors import InputError
from shared.settings import client_key

app = typer.Typer(no_args_is_help=True, help="Batches of predictions: create, status, results, list, resume, cancel.")

Url = Annotated[str, typer.Option(help="Address of the inference service.")]
BatchId = Annotated[str, typer.Argument(metavar="ID", help="As `mammo batch create` prints it.")]
_HERE = "http://127.0.0.1:8080"
_LOOK_EVERY_S = 1.0


@app.command()
def create(
    keys: Annotated[list[str] | None, typer.Argument(help="Images in the object store, such as inbox/a.dcm.")] = None,
    prefix: Annotated[str | None, typer.Option(help="All images below it, such as inbox/today/.")] = None,
    operating_point: Annotated[str, typer.Option(help="One of the model's card.")] = "screening",
    heatmaps: Annotated[bool, typer.Option("--heatmaps", help="Store the class-activation maps too.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Sent again, with the same images, it gives the same batch.")
    ] = None,
    url: Url = _HERE,
) -> None:
    """Have films predicted that lie in the object store, below MAMMO_BATCH_PREFIX."""
    if bool(keys) == bool(prefix):
        raise InputError("name either images or a --prefix")
    images = {"keys": tuple(keys)} if keys else {"prefix": prefix}
    try:
        asked = BatchRequest(**images, operating_point=operating_point, explain="heatmap" if heatmaps else None)
    except ValidationError as error:
        raise InputError(f"this batch can't be made: {error.errors()[0]['msg'].lower()}; mend the command") from None
    batch = InferenceClient(url, client_key()).create_batch(asked, idempotency_key)
    console.print(f"batch {batch.id}: {batch.images} images, by {batch.network} {batch.version}")
    console.print(f"Next: mammo batch status {batch.id} --follow, mammo batch results {batch.id}")


@app.command()
def status(
    batch_id: BatchId,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for its end.")] = False,
    url: Url = _HERE,
) -> None:
    """How far a batch is."""
    client = InferenceClient(url, client_key())
    batch = client.batch(batch_id)
    if follow:
        batch = _follow(client, batch)
    _show(batch)


@app.command()
def results(
    batch_id: BatchId,
    out: Annotated[Path | None, typer.Option(help="Write them to this file in place of standard output.")] = None,
    url: Url = _HERE,
) -> None:
    """What there is of the results: a line of JSON for each image, in order."""
    lines = (line.model_dump_json() for line in InferenceClient(url, client_key()).batch_results(batch_id))
    if out is None:
        for line in lines:
            typer.echo(line)
        return
    with out.open("w", encoding="utf-8") as file:
        count = sum(1 for line in lines if file.write(f"{line}\n"))
    console.print(f"{count} lines in {out}")


@app.command("list")
def list_batches(
    limit: Annotated[int, typer.Option(min=1, max=100, help="The newest ones.")] = 20, url: Url = _HERE
) -> None:
    """The batches of this API key's name."""
    table = listing("id", "state", "done", "failed", "images", "model", "created")
    found = InferenceClient(url, client_key()).batches(limit).batches
    for batch in found:
        counts = (str(count) for count in (batch.done, batch.failed, batch.images))
        table.add_row(batch.id, batch.state, *counts, f"{batch.network} {batch.version}", batch.created)
    if found:
        show_listing(table)
    else:
        console.print("There is no batch. Make one: mammo batch create --prefix inbox/")


@app.command()
def resume(batch_id: BatchId, url: Url = _HERE) -> None:
    """Enqueue what is missing of a batch, after the broker was away or has lost its messages."""
    _show(InferenceClient(url, client_key()).resume_batch(batch_id))


@app.command()
def cancel(batch_id: BatchId, url: Url = _HERE) -> None:
    """End a batch where it is; what is done stays."""
    _show(InferenceClient(url, client_key()).cancel_batch(batch_id))


def _follow(client: InferenceClient, batch: Batch) -> Batch:
    with bars() as progress:
        shown = progress.add_task("images", total=batch.images, note="")
        while True:
            progress.update(shown, completed=batch.done, note=f"{batch.failed} failed" if batch.failed else "")
            if batch.state in ("done", "cancelled"):
                return batch
            time.sleep(_LOOK_EVERY_S)
            batch = client.batch(batch.id)


def _show(batch: Batch) -> None:
    end = f", ended {batch.ended}" if batch.ended else ""
    console.print(
        f"batch {batch.id}: {batch.state}, {batch.done} of {batch.images} images done, {batch.failed} of them without "
        f"a finding, by {batch.network} {batch.version}{end}"
    )
