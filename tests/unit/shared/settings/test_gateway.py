"""The gateway's settings: safe beyond loopback, and destinations and titles that DICOM knows."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.settings import GatewaySettings, PacsSettings
from shared.settings.gateway import node_of

TLS = {f"MAMMO_GATEWAY_TLS_{name}": f"{name}.pem" for name in ("CERT", "KEY", "CA")}
OPEN = {"MAMMO_GATEWAY_HOST": "0.0.0.0", "MAMMO_GATEWAY_TOKEN": "made up"}


def gateway(**given: Any) -> GatewaySettings:
    return GatewaySettings.model_validate(given, by_alias=True, by_name=False)


def pacs(**given: Any) -> PacsSettings:
    return PacsSettings.model_validate(given, by_alias=True, by_name=False)


class TestNodeOf:
    @pytest.mark.parametrize(
        ("place", "node"),
        [
            ("PACS@10.0.0.1:104", ("PACS", "10.0.0.1", 104)),
            ("MAIN PACS@[fd00::1]:11112", ("MAIN PACS", "fd00::1", 11112)),
            ("https://pacs.example.org/dicom-web", None),
        ],
    )
    def test_node_is_taken_apart(self, place: str, node: tuple[str, str, int] | None) -> None:
        assert node_of(place) == node


class TestGateway:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
    def test_on_loopback_neither_token_nor_callers_are_required(self, host: str) -> None:
        assert gateway(MAMMO_GATEWAY_HOST=host, MAMMO_GATEWAY_DICOM_PORT=11112).on_loopback

    @pytest.mark.parametrize(
        ("given", "missing"),
        [
            ({"MAMMO_GATEWAY_HOST": "0.0.0.0"}, "MAMMO_GATEWAY_TOKEN"),
            (OPEN | {"MAMMO_GATEWAY_DICOM_PORT": 11112}, "MAMMO_GATEWAY_CALLERS"),
            (OPEN | {"MAMMO_GATEWAY_DICOM_PORT": 11112, "MAMMO_GATEWAY_CALLERS": " , "}, "MAMMO_GATEWAY_CALLERS"),
        ],
    )
    def test_beyond_loopback_senders_must_be_known(self, given: dict[str, Any], missing: str) -> None:
        with pytest.raises(ValidationError, match=f"set {missing}"):
            gateway(**given)

    def test_beyond_loopback_with_token_and_callers_is_accepted(self) -> None:
        found = gateway(**OPEN, MAMMO_GATEWAY_DICOM_PORT=11112, MAMMO_GATEWAY_CALLERS="UNIT 1, PACS,")
        assert not found.on_loopback
        assert found.allowed_callers == ("UNIT 1", "PACS")

    @pytest.mark.parametrize("absent", TLS)
    def test_files_of_tls_belong_together(self, absent: str) -> None:
        assert gateway(**TLS).tls_ca == "CA.pem"
        with pytest.raises(ValidationError, match="belong together"):
            gateway(**{name: value for name, value in TLS.items() if name != absent})

    @pytest.mark.parametrize("title", ["A", "MAMMO STACK", "X" * 16])
    def test_title_of_sixteen_characters_is_accepted(self, title: str) -> None:
        assert gateway(MAMMO_GATEWAY_AE=title).title == title

    @pytest.mark.parametrize("title", ["", "X" * 17, "A\\B", " A", "Ä"])
    def test_title_that_dicom_does_not_allow_is_an_error(self, title: str) -> None:
        with pytest.raises(ValidationError, match="1 to 16 printable characters"):
            gateway(MAMMO_GATEWAY_AE=title)

    def test_results_go_to_the_archive_that_is_polled_unless_destinations_are_named(self) -> None:
        address = "https://pacs.example.org/dicom-web"
        assert pacs(MAMMO_PACS_URL=address).places == (address,)
        named = pacs(MAMMO_PACS_URL=address, MAMMO_PACS_DEST=" PACS@10.0.0.1:104 , https://other.example.org,")
        assert named.places == ("PACS@10.0.0.1:104", "https://other.example.org")
        assert pacs().places == ()

    @pytest.mark.parametrize("place", ["pacs.example.org", "PACS@host", "ftp://host/x", "@host:104"])
    def test_destination_is_an_address_or_a_node(self, place: str) -> None:
        with pytest.raises(ValidationError, match="TITLE@HOST:PORT"):
            pacs(MAMMO_PACS_DEST=place)

    def test_kinds_of_results_are_checked(self) -> None:
        assert pacs(MAMMO_PACS_OUT=" sc, cad-sr").out == "sc,cad-sr"
        with pytest.raises(ValidationError, match="pdf is no kind of result"):
            pacs(MAMMO_PACS_OUT="sc,pdf")
        with pytest.raises(ValidationError, match="is no kind"):
            pacs(MAMMO_PACS_OUT="")

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"MAMMO_PACS_USER": "u", "MAMMO_PACS_TOKEN": "t"}, "not both"),
            ({"MAMMO_PACS_CERT": "c.pem"}, "belong together"),
            ({"MAMMO_PACS_KEY": "k.pem"}, "belong together"),
        ],
    )
    def test_ways_of_access_are_not_mixed(self, given: dict[str, str], words: str) -> None:
        with pytest.raises(ValidationError, match=words):
            pacs(**given)
