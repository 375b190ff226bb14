"""Commands that run services, send films to them, and run the demo."""

import os
import signal
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from shared.addresses import netloc
from shared.api.exams import ExamPrediction
from shared.api.predictions import PredictionAnswer
from shared.cli.console import console, reporting, show_exam, show_prediction
from shared.client import FilmUpload, InferenceClient, read_image
from shared.errors import InputError
from shared.local.commands import inference_command, worker_command
from shared.settings import WORKERS as WORKER_SETTINGS
from shared.settings import ClientSettings, InferenceProcessSettings, read_settings
from shared.store.api_keys import new_key, read_keys
from shared.store.objects import open_store

DatasetLayout: TypeAlias = Literal["exams", "mias"]


def predict(
    files: Annotated[
        list[Path], typer.Argument(help="One mammogram, or several of one patient: PGM, PNG, JPEG, TIFF or DICOM.")
    ],
    url: Annotated[str, typer.Option(help="Address of the inference service.")] = "http://127.0.0.1:8080",
    operating_point: Annotated[str, typer.Option(help="An operating point of the model's card.")] = "screening",
    heatmap: Annotated[
        Path | None, typer.Option(help="Write the film's class-activation map to this PNG file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the complete response as JSON.")] = False,
) -> None:
    """Send one or several films of a patient to the inference service."""
    if heatmap is not None and len(files) > 1:
        raise InputError("--heatmap works with one film; give a single file")
    client, images = InferenceClient(url, read_settings(ClientSettings).key), [read_image(file) for file in files]
    prediction: PredictionAnswer | ExamPrediction
    if len(images) == 1:
        prediction = client.predict(images[0], operating_point=operating_point)
    else:
        films = [FilmUpload(image, file.name) for file, image in zip(files, images, strict=True)]
        prediction = client.predict_exam(films, operating_point=operating_point)
    if heatmap is not None:
        heatmap.write_bytes(client.explain(images[0]))
    if as_json:
        console.print_json(prediction.model_dump_json())
    elif isinstance(prediction, PredictionAnswer):
        show_prediction(files[0].name, prediction)
    else:
        show_exam(prediction)
    if isinstance(prediction, ExamPrediction) and prediction.exam is None:
        raise typer.Exit(1)


def serve() -> None:
    """Run the inference service (gunicorn) in the foreground."""
    settings = read_settings(InferenceProcessSettings)
    serving = settings.serving
    if (
        serving.serves_loopback_alone
        and not settings.client.key
        and not read_keys(open_store(settings.store)).unrevoked
    ):
        os.environ["MAMMO_API_KEY"] = key = new_key()
        console.print(
            f"There are no API keys yet. Until it stops, the service accepts this one (loopback only):\n  {key}"
        )
        console.print("Use it with: export MAMMO_API_KEY=... or curl -H 'Authorization: Bearer ...'")
    address = netloc(serving.host, serving.port)
    console.print(f"serving {serving.network} ({serving.alias}) on http://{address}")
    _become(inference_command(settings.compute.cores))


def worker(service: Annotated[str, typer.Argument(help=f"One of {', '.join(WORKER_SETTINGS)}.")]) -> None:
    """Run one worker in the foreground."""
    if service not in WORKER_SETTINGS:
        raise InputError(f"there is no worker '{service}'; choose one of {', '.join(WORKER_SETTINGS)}")
    read_settings(WORKER_SETTINGS[service])
    _become(worker_command(service))


def demo(
    mias: Annotated[
        Path | None, typer.Option(help="MIAS, as a folder or all-mias.tar.gz; default: generate films.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="File of ImageNet weights for resnet50.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Size of the run; default: demo for generated films, else quick.")
    ] = None,
    patients: Annotated[
        int, typer.Option(min=8, help="Patients of the generated data set, each with an exam of four films.")
    ] = 24,
    once: Annotated[
        bool, typer.Option("--once", help="Stop after the prediction instead of serving until Ctrl-C.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Folder for the demo's store and logs; emptied at the start.")] = Path(
        "var/demo"
    ),
    port: Annotated[int, typer.Option(help="Port of the inference service; 0: any free port.")] = 0,
    pacs: Annotated[
        bool, typer.Option("--pacs", help="Send exams to an archive as well, and list the results beside them.")
    ] = False,
) -> None:
    """Run all services and the pipeline on this machine, then serve the model."""
    from shared.cli.demo import run_demo  # noqa: PLC0415  it takes the synthetic films and all of the queue along

    run_demo(folder, mias, weights, profile, patients=patients, once=once, port=port, pacs=pacs)


def synthesize(
    folder: Annotated[Path, typer.Argument(help="An empty or new folder.")],
    patients: Annotated[
        int, typer.Option(min=8, help="Patients, each with an exam: four views, or two with --layout mias.")
    ] = 32,
    layout: Annotated[
        DatasetLayout,
        typer.Option(
            "--layout",
            "--form",  # its name in 0.1.0
            help="Layout of the folder: exams (CC and MLO, scanned and digital, films.csv) or mias (Info.txt).",
        ),
    ] = "exams",
    seed: Annotated[int, typer.Option(help="The same seed gives the same films.")] = 7,
) -> None:
    """Generate a data set of SYNTHETIC films."""
    from shared.datasets.synthetic import write_dataset  # noqa: PLC0415  only here
    from shared.datasets.synthetic_exams import exposures, write_exams  # noqa: PLC0415  the same

    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; choose a new folder")
    films, write = (len(list(exposures(patients))), write_exams) if layout == "exams" else (2 * patients, write_dataset)
    with reporting() as report:
        write(folder, patients, seed=seed, progress=lambda done: report("generating films", done, films))
    console.print(f"{films} SYNTHETIC films in {folder}. Next: mammo ingest {folder} --dataset synthetic")


def _become(command: tuple[str, ...]) -> None:
    """Replace this process by the command, so that signals reach the service itself.

    SIGINT stays blocked until the service is able to handle it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.execvp(command[0], command)  # noqa: S606  no shell is meant
