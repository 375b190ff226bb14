"""`make bench-inference PARTS=1`: where the processor time of a request goes, for a film as PNG and as PGM.

The application of the inference service answers in this process, by one thread, without gunicorn: the parts are those
between the environment of a WSGI request and its answer. Each is timed by the clock of the thread.
"""

import argparse
import os
import pkgutil
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
from flask import Flask
from werkzeug.test import EnvironBuilder

from services.inference.app import create_app
from services.inference.service import InferenceService
from shared.allocator import film_variables
from shared.logs import configure_logs
from shared.settings import InferenceProcessSettings, read_settings
from tests.bench.published import publish
from tests.bench.sides import KEY
from tests.bench.timing import restart_with

_PARTS = {
    "receive the body": "services.inference.admission.bodies._receive",
    "decode": "services.inference.serving.predictor.decode",
    "segment and prepare": "services.inference.serving.predictor.prepare_image",
    "network": "shared.modelling.engines.openvino.OpenVinoEngine.run",
    "network (ONNX Runtime)": "shared.modelling.engines.onnx.OnnxEngine.run",
    "count applicability": "services.inference.service.count_applicability",
    "measure traits for drift": "services.inference.service.traits_of",
    "compare traits for drift": "services.inference.drift.DriftMonitor.observe",
    "describe the film, outline": "services.inference.api.predictions.film_answer",
    "serialise": "services.inference.api.request_parsing.json_response",
    "write the log": "logging.Logger.info",
}


@contextmanager
def timed_parts() -> Iterator[dict[str, float]]:
    """Sum up the seconds of each part while the block runs."""
    seconds: dict[str, float] = defaultdict(float)
    with ExitStack() as stack:
        for name, place in _PARTS.items():
            stack.enter_context(_timed(place, name, seconds))
        yield seconds


def _timed(place: str, name: str, seconds: dict[str, float]) -> Any:
    """Return a patch by which a function adds the time of its thread to `seconds`."""
    function: Callable[..., Any] = pkgutil.resolve_name(place)

    def timing(*arguments: Any, **options: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*arguments, **options)
        finally:
            seconds[name] += time.thread_time() - began

    return patch(place, timing)


def answer(application: Flask, film: bytes) -> None:
    """Have the application answer a prediction; raise RuntimeError unless it has status 200."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/octet-stream"}
    environ = EnvironBuilder("/v1/predictions", method="POST", data=film, headers=headers).get_environ()
    status: list[str] = []
    for _ in application(environ, lambda line, *_: status.append(line)):
        pass
    if not status[0].startswith("200"):
        raise RuntimeError(f"a film was answered with {status[0]}")


def print_parts(application: Flask, name: str, film: bytes, requests: int) -> None:
    """Print the milliseconds of each part of a request."""
    for _ in range(5):
        answer(application, film)
    with timed_parts() as seconds:
        began = time.thread_time()
        for _ in range(requests):
            answer(application, film)
        whole = time.thread_time() - began
    print(f"\n{f'a film as {name}':30}{whole * 1000 / requests:8.2f} ms")
    seconds["routes, headers, keys, metrics"] = whole - sum(seconds.values())
    for part, spent in seconds.items():
        print(f"  {part:28}{spent * 1000 / requests:8.2f} ms{spent / whole:7.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer requests")
    requests = 50 if parser.parse_args().quick else 200
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:  # metrics in files, as in production
        restart_with({**film_variables(), "PROMETHEUS_MULTIPROC_DIR": tempfile.mkdtemp(prefix="mammostack-metrics-")})
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as folder:
        published = publish(Path(folder))
        os.environ |= {"MAMMO_STORE": str(published.store), "MAMMO_REDIS_URL": "redis://:unused@127.0.0.1:1/0"}
        os.environ |= {"MAMMO_API_KEY": KEY, "MAMMO_CPU_THREADS": "1", "MAMMO_SERVE_CACHE": folder}
        settings = read_settings(InferenceProcessSettings)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        configure_logs(settings.log.level)
        application = create_app(settings)
        service: InferenceService = application.extensions["inference"]
        print(f"{service.model().engine_name}, one thread")
        for form in ("png", "pgm"):
            print_parts(application, form.upper(), published.film(form).read_bytes(), requests)
        service.close()
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])


if __name__ == "__main__":
    main()
