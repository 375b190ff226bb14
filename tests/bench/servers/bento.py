"""BentoML: HTTP workers that hold the model each. `bentoml serve` takes `Film`; BENCH_WORKERS says how many."""

import os
from pathlib import Path
from typing import Any

import bentoml

from tests.bench.servers import work


@bentoml.service(
    workers=int(os.environ["BENCH_WORKERS"]), traffic={"timeout": 120}, logging={"access": {"enabled": False}}
)
class Film:
    def __init__(self) -> None:
        self.answer = work.load()

    @bentoml.api
    def predict(self, image: Path, /) -> dict[str, Any]:
        return self.answer(image.read_bytes())
