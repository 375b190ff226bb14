"""OHIF's viewer on Orthanc, for a network namespace: `unshare --net python -m tests.support.ohif_session DIST FOLDER`.

Opens an exam with its results in Chromium, takes screenshots into FOLDER, and prints what was seen as JSON.
"""

import io
import json
import re
import subprocess
import sys
import tempfile
import threading
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import requests
from flask import Flask, Response, request, send_from_directory
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from werkzeug.serving import make_server

from services.gateway.films import hashed, read_header
from services.gateway.flow import ExamFlow, FlowOptions
from services.gateway.transport.dicomweb import Access, DicomWeb
from shared.datasets.synthetic_dicom import exam_films
from shared.store.directory import DirectoryStore
from tests.support.orthanc_session import predict, start_orthanc
from tests.support.page.browsing import CHROMIUM

_DRAWN = "canvas.cornerstone-canvas"
_ORTHANC, _PORT = "http://127.0.0.1:8042/dicom-web", 8000
_SOURCE = {
    "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
    "sourceName": "dicomweb",
    "configuration": {
        "friendlyName": "Orthanc",
        "name": "orthanc",
        "wadoUriRoot": "/dicom-web",
        "qidoRoot": "/dicom-web",
        "wadoRoot": "/dicom-web",
        "qidoSupportsIncludeField": False,
        "imageRendering": "wadors",
        "thumbnailRendering": "wadors",
        "enableStudyLazyLoad": True,
        "supportsFuzzyMatching": False,
        "supportsWildcard": True,
    },
}
_CONFIG = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "showErrorDetails": "always",
    "defaultDataSourceName": "dicomweb",
    "dataSources": [_SOURCE],
}


def viewer(dist: Path) -> Flask:
    """Serve the viewer, and Orthanc's DICOMweb at the same origin."""
    app = Flask(__name__, static_folder=None)

    @app.get("/app-config.js")
    def configuration() -> Response:
        return Response(f"window.config = {json.dumps(_CONFIG)};", mimetype="text/javascript")

    @app.get("/dicom-web/<path:path>")
    def archive(path: str) -> Response:
        accept = {"Accept": request.headers.get("Accept", "*/*")}
        answer = requests.get(f"{_ORTHANC}/{path}", params=request.args, headers=accept, timeout=30)
        return Response(answer.content, answer.status_code, content_type=answer.headers.get("Content-Type"))

    @app.get("/")
    @app.get("/<path:path>")
    def file(path: str = "index.html") -> Response:
        return send_from_directory(dist, path if (dist / path).is_file() else "index.html")

    return app


def look(page: Page, study: str, folder: Path) -> dict[str, Any]:
    """Open the study and then its series of pictures; say what is listed and what each viewport shows."""
    # the viewer's tour covers everything as soon as it begins, sooner or later
    page.add_locator_handler(
        page.locator(".shepherd-modal-is-visible"), lambda _: page.get_by_text("Skip all").click(), no_wait_after=True
    )
    page.goto(f"http://127.0.0.1:{_PORT}/viewer?StudyInstanceUIDs={study}")
    page.wait_for_selector(_DRAWN, timeout=60_000)
    page.get_by_text("Confirm and hide").click()
    thumbnails = page.locator("[data-cy^=study-browser-thumbnail]")
    first = _shown(page, folder / "first.png")
    thumbnails.filter(has_text="Mammostack pictures").dblclick()
    return {"listed": thumbnails.all_inner_texts(), "first": first, "opened": _shown(page, folder / "opened.png")}


def _shown(page: Page, path: Path) -> dict[str, Any]:
    """Take a screenshot once the viewport has its image; return position in the series and pixels that are green.

    Films are grey and the viewer's own controls are blue, so green is the breast's outline.
    """
    page.wait_for_timeout(4000)
    viewport = page.locator(_DRAWN).first
    page.screenshot(path=path)
    pixels = np.asarray(Image.open(io.BytesIO(viewport.screenshot())).convert("RGB")).astype(int)
    green = (pixels[..., 1] > pixels[..., 0] + 80) & (pixels[..., 1] > pixels[..., 2] + 80)
    position = re.search(r"\b[0-9]+/[0-9]+\b", page.locator("[data-cy=viewport-grid]").inner_text())
    grey = (pixels.max(axis=-1) > 40) & (np.ptp(pixels, axis=-1) < 8)
    return {"position": position and position[0], "green": int(green.sum()), "grey": int(grey.sum())}


def session(dist: Path, folder: Path, work: Path) -> dict[str, Any]:
    """Store an exam with its results in Orthanc and look at it."""
    films = list(exam_films(2, 7, date(2026, 11, 30)))
    study = read_header(films[0]).study_uid
    web = DicomWeb("orthanc", Access(_ORTHANC), lookback_days=36500)
    for film in films:
        web.store(film)
    flow = ExamFlow(DirectoryStore(work / "store"), web, [web], predict, FlowOptions(("cad-sr", "tid1500", "sc")))
    outcome = flow.process(hashed(study))
    server = make_server("127.0.0.1", _PORT, viewer(dist), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        seen = look(page, study, folder)
        browser.close()
    return {"outcome": outcome, **seen}


def main() -> None:
    """Run the session and print it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as work:
        orthanc = start_orthanc(Path(work))
        try:
            print(json.dumps(session(Path(sys.argv[1]), Path(sys.argv[2]), Path(work))))
        finally:
            orthanc.kill()
            orthanc.wait()


if __name__ == "__main__":
    main()
