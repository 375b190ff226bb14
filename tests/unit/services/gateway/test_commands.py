"""`mammo gateway status|retry|echo|send`: what is printed, and the exit status."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.gateway import commands, set_aside
from services.gateway.bootstrap import listener_options
from services.gateway.films import hashed, read_header
from services.gateway.inbox import keep
from services.gateway.transport.scp import start_listener
from shared.errors import InputError
from shared.local.broker import free_port
from shared.settings import GatewayProcessSettings, read_settings
from shared.store.directory import DirectoryStore
from tests.support.gateway import PATIENT, SECRETS, changed, four_films
from tests.support.settings import VARIABLES

pytestmark = pytest.mark.external
FILMS = four_films()
STUDY = hashed(PATIENT.study_uid)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> GatewayProcessSettings:
    """Settings of a gateway whose one destination and listener are at ports where nothing listens yet."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    given = {
        "MAMMO_STORE": str(tmp_path / "store"),
        "MAMMO_REDIS_URL": "redis://127.0.0.1:1/0",
        "MAMMO_GATEWAY_DICOM_PORT": (port := str(free_port())),
        "MAMMO_GATEWAY_CALLERS": "UNIT,OTHER",
        "MAMMO_PACS_DEST": f"MAMMOSTACK@127.0.0.1:{port}",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return read_settings(GatewayProcessSettings)


@pytest.fixture
def store(settings: GatewayProcessSettings) -> DirectoryStore:
    return DirectoryStore(Path(settings.store.url))


def listening(settings: GatewayProcessSettings, kept: list[bytes]) -> Callable[[], None]:
    def take(data: bytes) -> bool:
        kept.append(data)
        return True

    return start_listener(listener_options(settings), take).shutdown


class TestStatus:
    def test_counts_what_waits_and_gives_reasons_without_names(
        self, settings: GatewayProcessSettings, store: DirectoryStore, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for film in FILMS[:3]:
            keep(store, film)
        set_aside.set_aside(store, STUDY, ["film"], InputError("no view is known"))
        assert commands.status(settings, []) == 0
        said = capsys.readouterr().out
        assert "exams with films in the inbox: 1 (3 films)" in said
        assert "predicted exams whose results are not stored everywhere: 0" in said
        assert "exams set aside: 1" in said
        assert f"{STUDY[:10]} " in said
        assert "no view is known" in said
        assert not [secret for secret in SECRETS if secret in said]


class TestRetry:
    def test_takes_back_what_is_set_aside(
        self, settings: GatewayProcessSettings, store: DirectoryStore, capsys: pytest.CaptureFixture[str]
    ) -> None:
        set_aside.set_aside(store, STUDY, ["film"], InputError("no view is known"))
        assert [commands.retry(settings, []) for _ in range(2)] == [0, 0]
        assert capsys.readouterr().out.split()[0] == "1"
        assert not list(set_aside.all_set_aside(store))


class TestEcho:
    def test_tells_which_destination_answers(
        self, settings: GatewayProcessSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert commands.echo(settings, []) == 1
        assert "answers\n" not in capsys.readouterr().out
        end = listening(
            settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"callers": ""})}), []
        )
        try:
            assert commands.echo(settings, []) == 0
        finally:
            end()
        assert capsys.readouterr().out.endswith(": answers\n")


class TestSend:
    @pytest.mark.usefixtures("store")
    def test_sends_the_films_of_all_folders_below_and_nothing_else(
        self, settings: GatewayProcessSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder, kept = tmp_path / "films" / "below", list[bytes]()
        folder.mkdir(parents=True)
        for number, film in enumerate(FILMS):
            (folder / f"{number}.dcm").write_bytes(film)
        (folder / "raw.dcm").write_bytes(changed(FILMS[0], SOPClassUID="1.2.840.10008.5.1.4.1.1.1.2.1"))
        (folder / "notes.txt").write_text("no film")
        end = listening(settings, kept)
        try:
            assert commands.send(settings, [str(folder.parent)]) == 0
        finally:
            end()
        assert [read_header(film).sop_uid for film in kept] == [read_header(film).sop_uid for film in FILMS]
        assert capsys.readouterr().out == "4 films sent\n"

    @pytest.mark.parametrize(
        ("folder", "port", "words"),
        [("none", 1, "no such folder"), (".", 0, "MAMMO_GATEWAY_DICOM_PORT"), (".", 1, "no mammogram")],
    )
    def test_says_what_is_missing(self, settings: GatewayProcessSettings, folder: str, port: int, words: str) -> None:
        changed_port = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"dicom_port": port})})
        with pytest.raises(InputError, match=words):
            commands.send(changed_port, [folder])
