"""The servers that are compared: how each is started, what is sent to it, how it is measured and ended.

Each runs as many workers as there are cores, with one thread of its engine a worker; ours is one process, as in
production. Those that are not installed are told, with the reason, and left out.
"""

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from shared.local import broker
from shared.local.commands import ROOT, inference_command
from shared.store.api_keys import new_key
from tests.bench.clients import Job, Result
from tests.bench.published import SIZE, Published

WORKERS = os.cpu_count() or 1
_ENVIRONMENTS = ROOT / ".venv-bench"
_START_S = 60.0
KEY = new_key()

Engine = Literal["torch", "torch-bf16", "onnx", "openvino", "openvino-bf16", "openvino-int8", "auto"]


@dataclass(frozen=True)
class Server:
    """`command` gets the port and a folder for settings; `pack` makes a request's body of an image file."""

    name: str
    path: str
    command: Callable[[int, Path], tuple[str, ...]]
    content_type: str = "application/octet-stream"
    pack: Callable[[bytes], bytes] = bytes
    root: Path = ROOT
    """The code that it runs."""
    environment: str | None = None
    """The folder of `.venv-bench` that holds it; None is the project's own."""

    @property
    def missing(self) -> str | None:
        """Why it can't be measured."""
        if self.environment is None or (_ENVIRONMENTS / self.environment / "ready").exists():
            return None
        log = _ENVIRONMENTS / self.environment / "log"
        lines = log.read_text().strip().splitlines() if log.exists() else []
        return lines[-1] if lines else "`make bench-inference` has not tried to install it"


def _python(environment: str) -> str:
    return str(_ENVIRONMENTS / environment / "bin" / "python")


def _flask(port: int, _: Path) -> tuple[str, ...]:
    options = ("--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS), "--timeout", "120", "--no-control-socket")
    return (sys.executable, "-m", "gunicorn", *options, "tests.bench.servers.flask_sync:app")


def _litserve(port: int, _: Path) -> tuple[str, ...]:
    return (_python("litserve"), "-m", "tests.bench.servers.lit", str(port), str(WORKERS))


def _bentoml(port: int, _: Path) -> tuple[str, ...]:
    service = ("tests.bench.servers.bento:Film", "--host", "127.0.0.1", "--port", str(port))
    return (_python("bentoml"), "-m", "bentoml", "serve", *service)


def _mlserver(port: int, folder: Path) -> tuple[str, ...]:
    ports = {"http_port": port, "grpc_port": broker.free_port(), "metrics_port": broker.free_port()}
    settings = {"host": "127.0.0.1", "parallel_workers": WORKERS, "debug": False, **ports}
    model = {"name": "film", "implementation": "tests.bench.servers.mlserver_runtime.Film"}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return (str(_ENVIRONMENTS / "mlserver" / "bin" / "mlserver"), "start", str(folder))


def _form(image: bytes) -> bytes:
    head = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="film"\r\n\r\n'
    return head + image + b"\r\n--edge--\r\n"


def _tensor(image: bytes) -> bytes:
    data = [base64.b64encode(image).decode()]
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"}}
    return json.dumps({"inputs": [{**tensor, "data": data}]}).encode()


MAMMOSTACK = Server("mammostack", "/v1/predictions", lambda _port, _folder: inference_command())


def base_server(commit: str, root: Path) -> Server:
    """Return our service as it was at a commit whose worktree is `root`."""
    configuration = root / "services" / "inference" / "gunicorn.conf.py"
    application = "services.inference.app:create_app()"
    if (root / "services" / "inference" / "bootstrap.py").exists():
        application = "services.inference.bootstrap:application()"
    command = (sys.executable, "-m", "gunicorn", "-c", str(configuration), application)
    return Server(f"mammostack {commit}", MAMMOSTACK.path, lambda _port, _folder: command, root=root)


FLASK = Server("Flask, sync workers", "/predict", _flask)
OTHERS = (
    FLASK,
    Server("LitServe", "/predict", _litserve, "multipart/form-data; boundary=edge", _form, environment="litserve"),
    Server("BentoML", "/predict", _bentoml, environment="bentoml"),
    Server("MLServer", "/v2/models/film/infer", _mlserver, "application/json", _tensor, environment="mlserver"),
)


@dataclass
class Running:
    """A server that answers. `cold_start_s` passed between the start of its process and its first answer."""

    server: Server
    port: int
    process: psutil.Process
    folder: Path
    cold_start_s: float

    def stop(self) -> int:
        """Asks it to end as an operator does; its exit status."""
        self.process.terminate()
        return int(self.process.wait(60))

    def measure(self, image: Path, clients: int, seconds: float, warm_s: float) -> Result:
        body = self.folder / image.name
        body.write_bytes(self.server.pack(image.read_bytes()))
        url = f"http://127.0.0.1:{self.port}{self.server.path}"
        job = Job(url, headers(self.server), str(body), clients, warm_s, seconds)
        command = [sys.executable, "-m", "tests.bench.clients"]
        run = subprocess.run(command, input=json.dumps(asdict(job)).encode(), cwd=ROOT, check=True, capture_output=True)
        return Result(**json.loads(run.stdout))

    def memory_mb(self) -> float:
        """The sum of the proportional set sizes of all its processes: what is shared among them counts once."""
        return sum(each.memory_full_info().pss for each in self._family()) / 2**20

    def cpu_s(self) -> float:
        """What all its processes have used of the cores."""
        return sum(sum(each.cpu_times()[:2]) for each in self._family())

    def _family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def headers(server: Server) -> dict[str, str]:
    key = {"Authorization": f"Bearer {KEY}"} if server.path == MAMMOSTACK.path else {}
    return {"Content-Type": server.content_type, **key}


@contextmanager
def running(
    server: Server, published: Published, folder: Path, engine: Engine = "torch", **settings: str
) -> Iterator[Running]:
    """Start a server in `folder`, which is made, and end it.

    `settings` are further variables of its environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, command = broker.free_port(), None
    command = server.command(port, folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAMMO_", "PROMETHEUS_"))}
    environment |= {
        "PYTHONPATH": str(server.root),
        "PYTHONSAFEPATH": "1",
        "BENCH_MODEL": str(published.model),
        "BENCH_SIZE": str(SIZE),
        "BENCH_ENGINE": engine,
        "BENCH_WORKERS": str(WORKERS),
        "BENTOML_DO_NOT_TRACK": "1",
        "MAMMO_STORE": str(published.store),
        "MAMMO_REDIS_URL": "redis://:unused@127.0.0.1:1/0",
        "MAMMO_SERVE_PORT": str(port),
        "MAMMO_API_KEY": KEY,
        **({"MAMMO_SERVE_ENGINE": engine} if server is MAMMOSTACK and not engine.startswith("torch") else {}),
        **settings,
    }
    film = server.pack(published.film("png").read_bytes())
    with (folder / "log").open("wb") as log:
        began = time.perf_counter()
        started = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    process = psutil.Process(started.pid)
    try:
        _wait_for_answer(server, port, film, started, folder)
        yield Running(server, port, process, folder, time.perf_counter() - began)
    finally:
        end(process)
        started.wait()


def _wait_for_answer(server: Server, port: int, film: bytes, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Until a film is answered with 200; asks again 10 ms after a failure."""
    until = time.monotonic() + _START_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_S)
        with suppress(OSError, http.client.HTTPException):
            connection.request("POST", server.path, film, headers(server))
            if connection.getresponse().status == 200:
                return
        connection.close()
        if process.poll() is not None or time.monotonic() > until:
            tail = (folder / "log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{server.name} does not answer; the end of its log:\n{tail}")
        time.sleep(0.01)


def end(process: psutil.Process) -> None:
    """Ends a process that leads a session, and all that it started: asks, waits, then kills what is left."""
    family = [process]
    with suppress(psutil.NoSuchProcess):
        family += process.children(recursive=True)
        process.terminate()
    _, left = psutil.wait_procs(family, timeout=5)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # whoever lost its parent
