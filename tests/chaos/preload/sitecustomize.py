"""Loaded by every worker of a chaos cluster before anything else: a clock that can be made to jump, messages that come
twice, films that kill whoever decodes them. What is asked for stands in files, so that it can change while the worker
runs.
"""
# mypy: ignore-errors

import hashlib
import os
import signal
import time
from pathlib import Path

_DEADLY = Path(os.environ["CHAOS_DEADLY"])
_CLOCK, _TWICE = Path(os.environ["CHAOS_CLOCK"]), Path(os.environ["CHAOS_TWICE"])
_true_time = time.time


def _jumped() -> float:
    try:
        return _true_time() + float(_CLOCK.read_text())
    except (FileNotFoundError, ValueError):
        return _true_time()


time.time = _jumped

from kombu.transport.redis import Channel  # noqa: E402  it takes time.time by name when it is imported

_put = Channel._put


def _put_twice(self, queue, message, **options):
    _put(self, queue, message, **options)
    # what is sent again for later is not doubled: each copy would send two, and so on
    if _TWICE.exists() and not (message.get("headers") or {}).get("eta"):
        _put(self, queue, message, **options)


Channel._put = _put_twice

from shared.imaging.formats import decode as decoding  # noqa: E402  the services take decode by name when they are imported
from shared.imaging.image import Image  # noqa: E402

_decode = decoding.decode


def _decode_or_die(data: bytes, least_edge: int | None = None) -> Image:
    if _DEADLY.exists() and hashlib.sha256(data).hexdigest() in _DEADLY.read_text():
        os.kill(os.getpid(), signal.SIGSEGV)
    return _decode(data, least_edge)


decoding.decode = _decode_or_die
