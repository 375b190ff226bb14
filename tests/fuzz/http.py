"""Sends hostile requests to a running service, by seed, and looks at what comes back and at what is left behind.

    python -m tests.fuzz.http --requests 10000 --seed 1

Wrong is: an answer of 500, or none where one is due; anything of a stack trace or of a patient in an answer or in the
log; a worker that dies; and a service that is not as before when it is over. `request_of(seed)` makes a request again.
"""

import argparse
import gzip
import json
import re
import socket
import struct
import tempfile
import time
import zlib
from base64 import b64encode
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from shared.datasets.synthetic import draw
from shared.imaging.formats.decode import encode_png
from tests.fuzz.images import corpus, file_of
from tests.support.dicoms import SECRET
from tests.support.published import KEY, NETWORK
from tests.support.serving import Served, published, running_service

CLIENTS = 4
PATIENCE_S, LONGEST_S = 2.0, 20.0
NAMED = "FILENAME^JOHN"
"""A file name, which an answer may name and a log must not."""

LEAKS = (b"Traceback", b'File "', SECRET.encode(), b"site-packages", b"/services/inference")
POSTS = (
    "/v1/predictions", "/v1/explanations", "/v1/predictions?explain=heatmap&view=1", f"/v2/models/{NETWORK}/infer",
    f"/v1/models/{NETWORK}:predict", f"/v1/models/{NETWORK}:explain", "/v1/keys", "/v1/batches",
)  # fmt: skip
FORMS = ("/v1/predictions", "/v1/exams", "/v1/exams?explain=heatmap&class=benign&view=1", "/v1/explanations")
PATHS = (
    "/", "/../../etc/passwd", "/page/..%2f..%2fapp.py", "/page/%00", "/docs/..", "/v1/models/..%2f..", "//", "/readyz/",
    "/v1/models/%ff/card", "/v1/batches/..%2f..%2faccess", "/v1/batches/x/results?from=-1", "/v1/keys/%0d%0a",
    "/v2/models/a/versions/%2e%2e/ready", "/" + "a" * 3000, "/v1/usage-limits?" + "x=1&" * 500, "/%E2%80%AE",
    "/metrics?x[]=1", "/v1//models", "/v1/batches?limit=x", "/openapi.json?x", "/v2/health/ready/..",
)  # fmt: skip
CODINGS = ("gzip", "deflate", "br", "gzip, gzip", "x-gzip", "identity", "\x01", "")
TYPES = ("application/octet-stream", "image/png", "application/json", "text/html", "a" * 200, "multipart/form-data", "")


@dataclass
class Report:
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)


def request_of(seed: int) -> bytes:
    """The bytes that a client sends, and then no more."""
    rng = np.random.default_rng(seed)
    make = (_image, _image, _image, _form, _binary_tensor, _json, _odd_head, _path)[int(rng.integers(8))]
    data = make(rng, seed)
    if rng.random() < 0.05:
        data = data[: int(rng.integers(len(data) + 1))]
    return data


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _hostile(rng: np.random.Generator, seed: int) -> bytes:
    return file_of(_pick(rng, tuple(corpus())), seed)


def _request(path: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {KEY}", *headers]
    if not any(header.lower().startswith(("content-length", "transfer-encoding")) for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body


def _image(rng: np.random.Generator, seed: int) -> bytes:
    path = _pick(rng, POSTS[:3]) + ("&timeout_ms=1" if rng.random() < 0.02 else "")
    return _request(path.replace("s&", "s?", 1), _hostile(rng, seed), f"Content-Type: {_pick(rng, TYPES)}")


def _form(rng: np.random.Generator, seed: int) -> bytes:
    boundary = "b" * int(rng.integers(1, 80))
    parts = b""
    for number in range(int(rng.integers(0, 12))):
        name = _pick(rng, ("image", "../../x", '"; x="', "\x00", "ä" * 300, "", f"{NAMED}.dcm"))
        head = (
            f'Content-Disposition: form-data; name="f{number}"; filename="{name}"\r\nContent-Type: {_pick(rng, TYPES)}'
        )
        parts += b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary.encode(), head.encode(), _hostile(rng, seed + number))
        if rng.random() < 0.3:
            text = f'Content-Disposition: form-data; name="{_pick(rng, ("view", "side", "", SECRET))}"'
            value = _pick(rng, ("MLO", "cc", "L", "", SECRET, "\x00", "x" * 600_000))
            parts += f"--{boundary}\r\n{text}\r\n\r\n{value}\r\n".encode()
    ending = (f"--{boundary}--\r\n", "", f"--{boundary}", "\r\n" * 2000)[int(rng.integers(4))]
    stated = _pick(rng, (boundary, boundary, "", f"{boundary}x", '"' + boundary))
    return _request(_pick(rng, FORMS), parts + ending.encode(), f"Content-Type: multipart/form-data; boundary={stated}")


def _binary_tensor(rng: np.random.Generator, seed: int) -> bytes:
    image = _hostile(rng, seed)
    size = int(rng.choice([len(image), 0, 1, len(image) + 1, 2**31, 2**32 - 1]))
    raw = struct.pack("<I", size) + image
    claimed = int(rng.choice([len(raw), 0, len(raw) - 1, 2**63]))
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": claimed}}
    head = json.dumps({"inputs": [tensor]}).encode()
    stated = _pick(
        rng, (str(len(head)), str(len(head)), "0", "-1", "9" * 30, "１２", "1e3", " ", "NaN", str(len(head) + 7))
    )
    return _request(POSTS[3], head + raw, f"Inference-Header-Content-Length: {stated}".encode().decode("latin-1"))


def _json(rng: np.random.Generator, seed: int) -> bytes:
    encoded = b64encode(_hostile(rng, seed)).decode()
    body = _pick(
        rng,
        (
            json.dumps({"instances": [{"image": {"b64": encoded}}] * int(rng.integers(0, 12))}),
            json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [encoded]}]}),
            json.dumps({"instances": [{"image": {"b64": encoded[: int(rng.integers(1, 50))] + "=="}}]}),
            json.dumps({"name": SECRET, "keys": ["../access/keys.json", "http://127.0.0.1/", "/etc/passwd"]}),
            json.dumps({"prefix": _pick(rng, ("", "/", "..", "access/", "inbox/../models/", "inbox/\x00"))}),
            "[" * 50_000, '{"a":' * 20_000, "1e999", "NaN", '"\\ud800"', "{}", "null", "\ufeff{}",
            '{"instances": ' + "9" * 5000 + "}", '{"instances": [], "instances": {}}',
        ),
    )  # fmt: skip
    return _request(_pick(rng, POSTS), body.encode(), "Content-Type: application/json")


def _odd_head(rng: np.random.Generator, seed: int) -> bytes:
    image = _hostile(rng, seed)
    chunks = ("5\r\nhello\r\n0\r\n\r\n", "zz\r\n", "ffffffffffff\r\nx", "-1\r\n\r\n", "0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    methods = ("TRACE", "CONNECT", "get", "G\x00T", "PUT", "DELETE", "A" * 50)
    secrets = ("", "x" * 3000, KEY[:-1], "ä", f"{KEY} ")
    requests = (
        lambda: _request(POSTS[0], image, f"Content-Length: {_pick(rng, ('-1', 'x', '99999999999', '0x10', '1, 2'))}"),
        lambda: _request(POSTS[0], _pick(rng, chunks).encode(), "Transfer-Encoding: chunked"),
        lambda: _request(POSTS[0], image, "Transfer-Encoding: chunked", f"Content-Length: {len(image)}"),
        lambda: _request(POSTS[0], image, *[f"X-{number}: {'y' * 100}" for number in range(int(rng.integers(200)))]),
        lambda: _request(POSTS[0], image, method=_pick(rng, methods)),
        lambda: rng.bytes(int(rng.integers(1, 400))),
        lambda: _request(POSTS[0], image, "Content-Encoding: gzip", "Expect: 100-continue", "Range: bytes=0-1"),
        lambda: _request(POSTS[0], _packed(rng, image), f"Content-Encoding: {_pick(rng, CODINGS)}"),
        lambda: _request(POSTS[0], image, f"Authorization: Bearer {_pick(rng, secrets)}"),
    )
    return requests[int(rng.integers(len(requests)))]()


def _packed(rng: np.random.Generator, image: bytes) -> bytes:
    """Compressed, and now and then cut or with bytes behind it."""
    packed = (gzip.compress, zlib.compress)[int(rng.integers(2))](image, 1)
    return (packed, packed[: int(rng.integers(len(packed)))], packed + rng.bytes(9))[int(rng.integers(3))]


def _path(rng: np.random.Generator, _seed: int) -> bytes:
    return _request(_pick(rng, PATHS), b"", method=_pick(rng, ("GET", "POST", "HEAD", "OPTIONS", "DELETE", "PUT")))


def exchange(address: str, data: bytes) -> bytes:
    """All that the service answers to these bytes; empty where it just hung up."""
    host, port = address.split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        try:
            connection.sendall(data)
            while received := _receive(connection):
                answer += received
        except ConnectionError:
            pass  # it may hang up on what it does not read
    return answer


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except TimeoutError:  # it waits for more, which does not come
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(LONGEST_S)
        return connection.recv(1 << 16)


def fuzz(served: Served, seeds: range) -> Report:
    """Sends the requests of all seeds, some at a time. A service that died shows at the end."""
    report, before = Report(), _state(served)
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda seed: _judge(served, seed, report), seeds))
    if (after := _state(served)) != before:
        report.wrong.append((-1, f"the service was {before} and is {after}"))
    for leak in (*LEAKS, NAMED.encode()):
        if leak in served.log.read_bytes():
            report.wrong.append((-1, f"the log holds {leak.decode()!r}"))
    return report


def _judge(served: Served, seed: int, report: Report) -> None:
    began, problem = time.monotonic(), ""
    try:
        answer = exchange(served.address, request_of(seed))
    except OSError as error:
        answer, problem = b"", f"no answer: {error}"
    took = time.monotonic() - began
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    status = found.group(1).decode() if found else "hung up"
    if status.startswith("5") and status not in {"503", "504", "501", "505"}:
        problem = f"status {status}"
    for leak in LEAKS:
        if leak in answer:
            problem = f"the answer holds {leak.decode()!r}"
    report.statuses[status] += 1
    report.slowest = max(report.slowest, (took, seed))
    if problem:
        report.wrong.append((seed, problem))


def _state(served: Served) -> tuple[list[int], str]:
    """The ids of its workers, and its answer to a proper film."""
    workers = [child.pid for child in psutil.Process(served.process.pid).children()]
    said = served.client.predict(encode_png(draw(2, seed=5).pixels))
    return workers, said.probabilities.model_dump_json()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_service(published(folder / "store"), folder) as served:
            worker = psutil.Process(served.process.pid).children()[0]
            before = worker.memory_info().rss >> 20
            report = fuzz(served, range(asked.seed, asked.seed + asked.requests))
            print(f"{asked.requests:,} requests from seed {asked.seed}; worker {before} MB before, "
                  f"{worker.memory_info().rss >> 20} MB after")  # fmt: skip
    for status, count in sorted(report.statuses.items()):
        print(f"  {status:<8}{count:>8,}")
    print(f"  slowest {report.slowest[0]:.2f} s (seed {report.slowest[1]}); wrong: {len(report.wrong)}")
    for seed, problem in report.wrong[:20]:
        print(f"  seed {seed}: {problem}")
    raise SystemExit(bool(report.wrong))


if __name__ == "__main__":
    main()
