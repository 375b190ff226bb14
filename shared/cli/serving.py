"""Commands that run services, ask them, and show the whole on one machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from shared.addresses import netloc
from shared.api.predictions import PatientPrediction, PredictionAnswer
from shared.client import InferenceClient, read_image
from shared.console import console, reporting, show_patient, show_prediction
from shared.embedded.commands import WORKERS, inference_command, worker_command
from shared.errors import InputError
from shared.settings import client_key, settings
from shared.store.access import new_key, read_keys
from shared.store.objects import open_store


def predict(
    files: Annotated[
        list[Path], typer.Argument(help="A mammogram, or several of one patient: PGM, PNG, JPEG, TIFF, DICOM.")
    ],
    url: Annotated[str, typer.Option(help="Address of the inference service.")] = "http://127.0.0.1:8080",
    operating_point: Annotated[str, typer.Option(help="One of the model's card.")] = "screening",
    heatmap: Annotated[
        Path | None, typer.Option(help="Write the class-activation map of the film to this PNG.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer.")] = False,
) -> None:
    """Send a film, or the films of one patient, to the inference service and print what it answers."""
    if heatmap is not None and len(files) > 1:
        raise InputError("--heatmap is of one film; give one file")
    client, images = InferenceClient(url, client_key()), [read_image(file) for file in files]
    answer: PredictionAnswer | PatientPrediction
    if len(images) == 1:
        answer = client.predict(images[0], operating_point=operating_point)
    else:
        answer = client.predict_patient(images, operating_point=operating_point)
    if heatmap is not None:
        heatmap.write_bytes(client.explain(images[0]))
    if as_json:
        console.print_json(answer.model_dump_json())
    elif isinstance(answer, PredictionAnswer):
        show_prediction(files[0].name, answer)
    else:
        show_patient([file.name for file in files], answer)


def serve() -> None:
    """Run the inference service (gunicorn) in the foreground; address and model come from the settings."""
    config = settings()
    if config.serves_loopback_alone and not client_key() and not read_keys(open_store(config)).keys:
        os.environ["MAMMO_API_KEY"] = key = new_key()
        console.print(f"There is no API key yet. On loopback, and until it stops, the service takes this one:\n  {key}")
        console.print("Other commands send it with: export MAMMO_API_KEY=..., curl with -H 'Authorization: Bearer ...'")
    address = netloc(config.serve_host, config.serve_port)
    console.print(f"serving {config.serve_network} ({config.serve_alias}) on http://{address}")
    _become(inference_command())


def worker(service: Annotated[str, typer.Argument(help=f"One of {', '.join(WORKERS)}.")]) -> None:
    """Run one worker in the foreground."""
    if service not in WORKERS:
        raise InputError(f"there is no worker '{service}'; choose one of {', '.join(WORKERS)}")
    settings()
    _become(worker_command(service))


def demo(
    mias: Annotated[
        Path | None, typer.Option(help="MIAS: its folder or all-mias.tar.gz. Without it, films are generated.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="A file of ImageNet weights for resnet50.")] = None,
    profile: Annotated[str | None, typer.Option(help="How much work; demo for generated films, else quick.")] = None,
    patients: Annotated[int, typer.Option(min=8, help="Patients of the generated data set, two films each.")] = 40,
    once: Annotated[bool, typer.Option("--once", help="End after the prediction in place of serving on.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its store and logs; emptied at the start.")] = Path(
        "var/demo"
    ),
    port: Annotated[int, typer.Option(help="Port of the inference service; 0 takes a free one.")] = 0,
) -> None:
    """Run the main job on this machine with all services, then serve. Leaves no process behind."""
    from shared.demo import run_demo  # noqa: PLC0415  it takes the synthetic films and all of the queue along

    run_demo(folder, mias, weights, profile, patients=patients, once=once, port=port)


def synthesize(
    folder: Annotated[Path, typer.Argument(help="An empty or new folder.")],
    patients: Annotated[int, typer.Option(min=8, help="Two films each.")] = 32,
    seed: Annotated[int, typer.Option(help="The same seed gives the same films.")] = 7,
) -> None:
    """Generate SYNTHETIC films with an Info.txt, in the form of MIAS, to try things with."""
    from shared.datasets.synthetic import write_dataset  # noqa: PLC0415  only here

    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; give a new folder")
    with reporting() as report:
        write_dataset(folder, patients, seed=seed, progress=lambda done: report("generating films", done, 2 * patients))
    console.print(f"{2 * patients} SYNTHETIC films in {folder}. Next: mammo ingest {folder} --dataset synthetic")


def _become(command: tuple[str, ...]) -> None:
    """Replaces this process, so that signals reach the service itself."""
    os.execvp(command[0], command)  # noqa: S606  no shell is meant
