"""Commands that run services, ask them, and show the whole on one machine."""

import os
import signal
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from shared.addresses import netloc
from shared.api.exams import ExamPrediction
from shared.api.predictions import PredictionAnswer
from shared.cli.console import console, reporting, show_exam, show_prediction
from shared.client import InferenceClient, SentFilm, read_image
from shared.errors import InputError
from shared.local.commands import WORKERS, inference_command, worker_command
from shared.settings import WORKER_GROUPS, ServingSettings, client_key, settings
from shared.store.api_keys import new_key, read_keys
from shared.store.objects import open_store

Form: TypeAlias = Literal["exams", "mias"]


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
    answer: PredictionAnswer | ExamPrediction
    if len(images) == 1:
        answer = client.predict(images[0], operating_point=operating_point)
    else:
        films = [SentFilm(image, file.name) for file, image in zip(files, images, strict=True)]
        answer = client.predict_exam(films, operating_point=operating_point)
    if heatmap is not None:
        heatmap.write_bytes(client.explain(images[0]))
    if as_json:
        console.print_json(answer.model_dump_json())
    elif isinstance(answer, PredictionAnswer):
        show_prediction(files[0].name, answer)
    else:
        show_exam(answer)
    if isinstance(answer, ExamPrediction) and answer.exam is None:
        raise typer.Exit(1)


def serve() -> None:
    """Run the inference service (gunicorn) in the foreground; address and model come from the settings."""
    config = settings(ServingSettings)
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
    settings(WORKER_GROUPS[service])
    _become(worker_command(service))


def demo(
    mias: Annotated[
        Path | None, typer.Option(help="MIAS: its folder or all-mias.tar.gz. Without it, films are generated.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="A file of ImageNet weights for resnet50.")] = None,
    profile: Annotated[str | None, typer.Option(help="How much work; demo for generated films, else quick.")] = None,
    patients: Annotated[
        int, typer.Option(min=8, help="Patients of the generated data set, an exam of four films each.")
    ] = 24,
    once: Annotated[bool, typer.Option("--once", help="End after the prediction in place of serving on.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its store and logs; emptied at the start.")] = Path(
        "var/demo"
    ),
    port: Annotated[int, typer.Option(help="Port of the inference service; 0 takes a free one.")] = 0,
) -> None:
    """Run the main job on this machine with all services, then serve. Leaves no process behind."""
    from shared.cli.demo import run_demo  # noqa: PLC0415  it takes the synthetic films and all of the queue along

    run_demo(folder, mias, weights, profile, patients=patients, once=once, port=port)


def synthesize(
    folder: Annotated[Path, typer.Argument(help="An empty or new folder.")],
    patients: Annotated[int, typer.Option(min=8, help="An exam each: four views, or two in the form of MIAS.")] = 32,
    form: Annotated[
        Form, typer.Option(help="exams: CC and MLO, scanned and digital, with films.csv. mias: as MIAS, with Info.txt.")
    ] = "exams",
    seed: Annotated[int, typer.Option(help="The same seed gives the same films.")] = 7,
) -> None:
    """Generate SYNTHETIC films to try things with."""
    from shared.datasets.synthetic import write_dataset  # noqa: PLC0415  only here
    from shared.datasets.synthetic_exams import exposures, write_exams  # noqa: PLC0415  the same

    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; give a new folder")
    films, write = (len(list(exposures(patients))), write_exams) if form == "exams" else (2 * patients, write_dataset)
    with reporting() as report:
        write(folder, patients, seed=seed, progress=lambda done: report("generating films", done, films))
    console.print(f"{films} SYNTHETIC films in {folder}. Next: mammo ingest {folder} --dataset synthetic")


def _become(command: tuple[str, ...]) -> None:
    """Replaces this process, so that signals reach the service itself. Ctrl-C waits until that can heed it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.execvp(command[0], command)  # noqa: S606  no shell is meant
