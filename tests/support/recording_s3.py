"""An S3 server that notes who asks for what, so that it can be held against the policies."""

import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from tests.support.servers import FaultyS3


class RecordingS3(FaultyS3):
    """Notes who asks for what: every process signs with an access key of its own name.

    Attributes:
        asked: name, method, key and query of each request.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[tuple[str, str, str, str]] = set()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        who = re.search(r"Credential=([\w-]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        _, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
        self.asked.add((who[1] if who else "", environ["REQUEST_METHOD"], key, environ.get("QUERY_STRING", "")))
        return super()._answer(environ, start_response)
