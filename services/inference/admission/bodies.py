"""Receive request bodies within limits of time, size and total memory."""

import socket
from collections.abc import Callable, Iterable, Iterator

from flask import Flask, g, request
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from services.inference.admission.byte_budget import ByteBudget, Reservation
from services.inference.admission.content_coding import PIECE, check_coding, decoded
from services.inference.admission.gunicorn_worker import deadlines
from services.inference.admission.multipart import read_form
from services.inference.admission.queueing import Overloaded
from shared import metrics
from shared.errors import InputError
from shared.settings import ServingSettings

FORM = "multipart/form-data"


def receive_bodies(app: Flask, serving: ServingSettings, room: ByteBudget) -> None:
    """Read the body of every request that was let in by its API key, before its route is called.

    It has to come within MAMMO_SERVE_RECEIVE_S, within its bound (MAMMO_MAX_REQUEST_MB for a form of films, else
    MAMMO_MAX_IMAGE_MB), and find room among the bytes in hand. `g.form` is then the form, or `g.body` the body's bytes.
    A request to a route that needs no key must not have a body.
    """

    @app.before_request
    def receive() -> None:
        if request.routing_exception is not None:
            return  # it is answered unread
        if "caller" not in g:
            check_no_body()
            return
        g.share = Reservation(room)
        connection = request.environ.get("gunicorn.socket")
        if connection is not None:  # not in a test
            deadlines.begin(connection, serving.receive_s)
        try:
            _receive(serving, g.share)
        except (ParseException, ClientDisconnected, OSError) as error:
            raise InputError(
                "the body is not valid HTTP (length or chunks); correct the client, or send the request again"
            ) from error
        except Overloaded as error:
            metrics.REFUSALS.labels(error.code).inc()
            raise
        finally:
            if connection is not None:
                deadlines.end(connection)
        g.received = True

    @app.teardown_request
    def give_back(_error: BaseException | None) -> None:
        for name in ("form", "body"):
            g.pop(name, None)
        if (share := g.pop("share", None)) is not None:
            share.give_back()


def _receive(serving: ServingSettings, share: Reservation) -> None:
    is_form, length = request.mimetype == FORM, request.content_length
    most, setting = (
        (serving.max_request_mb << 20, "MAMMO_MAX_REQUEST_MB")
        if is_form
        else (serving.max_image_mb << 20, "MAMMO_MAX_IMAGE_MB")
    )
    coding = check_coding(request.headers.get("Content-Encoding", ""))
    if length:
        check_size(length, most, setting)
        share.grow_to(length)
    pieces = bounded(decoded(_pieces(), coding), most, setting, share.grow_to)
    if is_form:
        g.form = read_form(pieces, request.mimetype_params.get("boundary", ""), serving.max_image_mb << 20)
        for _ in pieces:  # a form may have ended before its body
            pass
    else:
        g.body = b"".join(pieces)


def _pieces() -> Iterator[bytes]:
    """Yield the body of the request as it arrives."""
    connection, body = request.environ.get("gunicorn.socket"), request.environ["wsgi.input"]
    if connection is not None and request.content_length and isinstance(body.reader, LengthReader):
        return pieces_of(body, connection)
    return iter(lambda: request.stream.read(PIECE), b"")


def pieces_of(body: Body, connection: socket.socket) -> Iterator[bytes]:
    """Yield an unread body of known length with as few system calls as possible.

    werkzeug reads in pieces of 64 KB, and for each of them gunicorn copies the rest.

    Raises:
        ClientDisconnected: the connection ended early.
        OSError: the connection is broken.
    """
    reader = body.reader
    early = reader.unreader.take_buffered()
    missing = reader.length - len(early)
    reader.unreader.unread(early[reader.length :])  # of the next request
    body.failed = True
    if early[: reader.length]:
        yield early[: reader.length]
    while missing > 0:
        piece = connection.recv(min(missing, PIECE), socket.MSG_WAITALL)
        if not piece:
            raise ClientDisconnected
        missing -= len(piece)
        yield piece
    reader.length, body.failed = 0, False


def bounded(pieces: Iterable[bytes], most: int, setting: str, take: Callable[[int], None]) -> Iterator[bytes]:
    """Pass the pieces on as long as they have at most `most` bytes together.

    `take` is called with the sum before a piece is passed on. Raises RequestEntityTooLarge, which names the setting.
    """
    total = 0
    for piece in pieces:
        total += len(piece)
        check_size(total, most, setting)
        take(total)
        yield piece


def check_no_body() -> None:
    """Check that the head of a request announces no body.

    Raises:
        RequestEntityTooLarge: it does.
    """
    if request.content_length or "Transfer-Encoding" in request.headers:
        raise RequestEntityTooLarge("this route takes no body; send the request without one")


def check_size(size: int, most: int, setting: str) -> None:
    """Check a body's size against a limit.

    Raises:
        RequestEntityTooLarge: it exceeds `most` bytes; names the setting.
    """
    if size > most:
        raise RequestEntityTooLarge(f"the body exceeds {most >> 20} MB ({setting}); send smaller or fewer files")
