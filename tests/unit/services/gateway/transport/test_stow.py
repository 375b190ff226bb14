"""STOW-RS as a server: what is kept, what is refused and how that is said."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from prometheus_client import REGISTRY
from werkzeug.test import TestResponse

from services.gateway.films import read_header
from services.gateway.objects.build import build_objects
from services.gateway.transport.multipart import body_of
from services.gateway.transport.scp import ListenerOptions
from services.gateway.transport.stow import blueprint
from shared.errors import StoreUnavailable
from tests.support.gateway import PATIENT, SECRETS, four_films, report

FILMS = four_films()
OPTIONS = ListenerOptions("MAMMOSTACK", "127.0.0.1", 0)
TYPE = 'multipart/related; type="application/dicom"; boundary=line'
STORED, FAILED, REASON, OBJECT = "00081199", "00081198", "00081197", "00081155"


class Inbox:
    """Keeps films in memory; says False for one that it has."""

    def __init__(self) -> None:
        self.films: list[bytes] = []

    def __call__(self, data: bytes) -> bool:
        fresh = data not in self.films
        self.films += [data] if fresh else []
        return fresh


def away(_data: bytes) -> bool:
    raise StoreUnavailable("away")


def post(
    contents: list[bytes],
    keep: Callable[[bytes], bool],
    options: ListenerOptions = OPTIONS,
    study: str = "",
    token: str | None = None,
    cut: int = 0,
    **headers: str,
) -> TestResponse:
    """Send a body without its last `cut` bytes."""
    app = Flask(__name__)
    app.register_blueprint(blueprint(options, keep, token))
    body = b"".join(body_of(contents, b"line"))
    path = f"/dicom-web/studies/{study}".rstrip("/")
    return app.test_client().post(path, data=body[: len(body) - cut], content_type=TYPE, headers=headers)


def values(answer: TestResponse, sequence: str, element: str) -> list[Any]:
    return [item[element]["Value"][0] for item in answer.get_json().get(sequence, {"Value": []})["Value"]]


def received(outcome: str) -> float:
    return REGISTRY.get_sample_value("mammo_gateway_received_total", {"outcome": outcome}) or 0.0


class TestBlueprint:
    @pytest.mark.parametrize("study", ["", PATIENT.study_uid])
    def test_films_are_kept_byte_by_byte_and_named_in_the_answer(self, study: str) -> None:
        inbox = Inbox()
        answer = post(FILMS, inbox, study=study)
        assert (answer.status_code, answer.mimetype) == (200, "application/dicom+json")
        assert inbox.films == FILMS
        assert values(answer, STORED, OBJECT) == [read_header(film).sop_uid for film in FILMS]
        assert FAILED not in answer.get_json()

    def test_film_that_is_sent_again_is_a_success_and_counted_as_repeated(self) -> None:
        inbox, before = Inbox(), received("repeated")
        assert [post(FILMS[:1], inbox).status_code for _ in range(2)] == [200, 200]
        assert inbox.films == FILMS[:1]
        assert received("repeated") == before + 1

    def test_other_object_is_accepted_and_dropped(self) -> None:
        data = dict(zip((read_header(film).sop_uid for film in FILMS), FILMS, strict=True))
        (result,) = build_objects(report(FILMS), ("cad-sr",), data.__getitem__)
        inbox = Inbox()
        answer = post([result.data, FILMS[0]], inbox)
        assert answer.status_code == 200
        assert len(values(answer, STORED, OBJECT)) == 2
        assert inbox.films == FILMS[:1]

    def test_part_that_is_no_dicom_fails_alone(self) -> None:
        inbox = Inbox()
        answer = post([b"no film", FILMS[0]], inbox)
        assert answer.status_code == 202
        assert values(answer, FAILED, REASON) == [0xC000]
        assert inbox.films == FILMS[:1]

    def test_film_of_another_study_than_the_address_says_is_refused(self) -> None:
        inbox = Inbox()
        answer = post(FILMS[:1], inbox, study="1.2.3")
        assert answer.status_code == 409
        assert values(answer, FAILED, REASON) == [0xC000]
        assert not inbox.films

    def test_film_is_refused_for_now_while_the_store_is_away(self) -> None:
        before = received("store away")
        answer = post(FILMS[:1], away)
        assert answer.status_code == 409
        assert values(answer, FAILED, REASON) == [0xA700]
        assert received("store away") == before + 1

    def test_film_whose_keeping_fails_is_refused_and_no_value_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        def broken(data: bytes) -> bool:
            raise RuntimeError(f"{read_header(data).text('PatientName')} is to blame")

        before = received("failed")
        with caplog.at_level(logging.DEBUG):
            answer = post(FILMS[:1], broken, study=PATIENT.study_uid)
        assert (answer.status_code, values(answer, FAILED, REASON)) == (409, [0xA700])
        assert received("failed") == before + 1
        assert "RuntimeError" in caplog.text
        assert not [secret for secret in SECRETS if secret in caplog.text]

    def test_film_is_refused_for_now_while_the_disk_is_full(self, tmp_path: Path) -> None:
        inbox, before = Inbox(), received("disk full")
        answer = post(FILMS[:1], inbox, replace(OPTIONS, disk=str(tmp_path), fullest_disk=0.0))
        assert answer.status_code == 409
        assert values(answer, FAILED, REASON) == [0xA700]
        assert not inbox.films
        assert received("disk full") == before + 1

    @pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer other"}, {"Authorization": "right"}])
    def test_sender_without_the_token_is_turned_away(self, given: dict[str, str]) -> None:
        inbox = Inbox()
        answer = post(FILMS, inbox, token="right", **given)
        assert answer.status_code == 401
        assert "MAMMO_GATEWAY_TOKEN" in answer.get_json()["detail"]
        assert not inbox.films

    def test_sender_with_the_token_is_let_in(self) -> None:
        inbox = Inbox()
        assert post(FILMS, inbox, token="right", Authorization="Bearer right").status_code == 200
        assert inbox.films == FILMS

    def test_body_that_is_cut_short_is_an_error_and_what_came_whole_is_kept(self) -> None:
        inbox = Inbox()
        answer = post(FILMS[:2], inbox, cut=1000)
        assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
        assert inbox.films == FILMS[:1]

    def test_film_that_is_too_large_is_an_error(self) -> None:
        inbox = Inbox()
        answer = post(FILMS[:1], inbox, replace(OPTIONS, most_bytes=1000))
        assert answer.status_code == 400
        assert not inbox.films

    def test_no_answer_to_a_refusal_quotes_the_patient(self) -> None:
        for answer in (post(FILMS, away), post(FILMS[:1], away, cut=1000), post(FILMS, away, study="1.2.3")):
            assert not [secret for secret in SECRETS if secret in answer.get_data(as_text=True)]
