"""FOR TESTS ONLY: moto's S3 server, whose buckets and objects outlive it: `serve.py FOLDER HOST PORT`.

moto keeps everything in memory. Here each bucket and each object has a file in FOLDER as well: after every write, and
before its answer, what moto now holds under that name goes into the file; at the start the files are put back. So a
server that is killed has whatever it ever said that it has. What is no single object is not kept: parts of unfinished
uploads, tags, deletions of many at once.
"""

import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
from werkzeug.test import Client
from werkzeug.wrappers import Request

# As the owner of everything; the signature is not looked at.
OWNER = {"Authorization": "AWS4-HMAC-SHA256 Credential=kept/20260101/us-east-1/s3/aws4_request"}


class KeptS3:
    def __init__(self, folder: Path) -> None:
        self._folder, self._partial = folder, folder / ".partial"
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._inside = Client(self._moto)
        self._writing = threading.Lock()  # what is in a file is what was written last
        self._partial.unlink(missing_ok=True)
        for file in sorted(folder.iterdir()):  # a bucket before what is in it
            answer = self._inside.put(f"/{quote(unquote(file.name))}", data=file.read_bytes(), headers=OWNER)
            if answer.status_code != 200:
                raise RuntimeError(f"{file.name} can't be put back: {answer.status}")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return self._moto(environ, start_response)
        with self._writing:
            answer = self._moto(environ, start_response)
            self._keep(Request(environ).path.removeprefix("/"))
        return answer

    def _keep(self, name: str) -> None:
        file = self._folder / quote(name, safe="")
        held = self._inside.get(f"/{quote(name)}", headers=OWNER)
        if held.status_code == 404:
            file.unlink(missing_ok=True)
        elif held.status_code != 200:
            raise RuntimeError(f"{name} can't be kept: {held.status}")
        else:
            self._partial.write_bytes(held.data if "/" in name else b"")  # of a bucket the name is enough
            self._partial.replace(file)


if __name__ == "__main__":
    run_simple(sys.argv[2], int(sys.argv[3]), KeptS3(Path(sys.argv[1])), threaded=True)
