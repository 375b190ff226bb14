"""The settings of the gateway: archive and destinations, and what it listens on."""

import re
from ipaddress import ip_address
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from shared.addresses import check_host
from shared.settings.base import SettingsGroup

KINDS = ("cad-sr", "tid1500", "sc", "gsps", "seg")
"""Kinds of result objects."""

_TITLE = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?")
_NODE = re.compile(r"([^@]+)@([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})")


class PacsSettings(SettingsGroup):
    """The archive (PACS)."""

    url: str | None = Field(
        None,
        validation_alias="MAMMO_PACS_URL",
        description="DICOMweb address of the archive that exams are taken from; empty means that films are pushed.",
        examples=["https://pacs.example.org/dicom-web"],
    )
    user: str = Field("", validation_alias="MAMMO_PACS_USER", description="User name for DICOMweb; empty means none.")
    password: SecretStr = Field(
        SecretStr(""), validation_alias="MAMMO_PACS_PASSWORD", description="Password of MAMMO_PACS_USER."
    )
    token: SecretStr = Field(
        SecretStr(""), validation_alias="MAMMO_PACS_TOKEN", description="Bearer token for DICOMweb, in place of a user."
    )
    ca: str | None = Field(
        None, validation_alias="MAMMO_PACS_CA", description="File of the certificate authority of the archive."
    )
    cert: str | None = Field(
        None, validation_alias="MAMMO_PACS_CERT", description="File of the client certificate for DICOMweb."
    )
    key: str | None = Field(None, validation_alias="MAMMO_PACS_KEY", description="File of its key.")
    poll_s: float = Field(
        10, validation_alias="MAMMO_PACS_POLL_S", gt=0, description="Seconds between two looks at archive and inbox."
    )
    lookback_d: int = Field(
        2, validation_alias="MAMMO_PACS_LOOKBACK_D", ge=0, description="Days back to which exams are taken."
    )
    stable_s: float = Field(
        60,
        validation_alias="MAMMO_PACS_STABLE_S",
        ge=0,
        description="Seconds without a new film after which an exam is taken; one with four views is taken at once.",
    )
    wait_max_s: float = Field(
        900,
        validation_alias="MAMMO_PACS_WAIT_MAX_S",
        ge=0,
        description="Most seconds that an exam whose films keep coming, or that is incomplete, is waited for.",
    )
    incomplete: Literal["process", "skip"] = Field(
        "process",
        validation_alias="MAMMO_PACS_INCOMPLETE",
        description="What becomes of exams without all four views: process, or skip.",
    )
    implants: Literal["process", "skip"] = Field(
        "skip", validation_alias="MAMMO_PACS_IMPLANTS", description="What becomes of films with implants."
    )
    out: str = Field(
        "cad-sr,tid1500,sc",
        validation_alias="MAMMO_PACS_OUT",
        description="Result objects to send: cad-sr, tid1500, sc, gsps, seg, separated by commas.",
    )
    operating_point: str = Field(
        "screening", validation_alias="MAMMO_PACS_OPERATING_POINT", description="Operating point of the model's card."
    )
    destinations: str = Field(
        "",
        validation_alias="MAMMO_PACS_DEST",
        description="Where results go, separated by commas: DICOMweb addresses, and nodes as TITLE@HOST:PORT. Empty "
        "means MAMMO_PACS_URL.",
    )

    @field_validator("out")
    @classmethod
    def _known_kinds(cls, out: str) -> str:
        wanted = [kind.strip() for kind in out.split(",")]
        if unknown := [kind for kind in wanted if kind not in KINDS]:
            raise ValueError(f"{', '.join(unknown) or 'nothing'} is no kind of result; choose of {', '.join(KINDS)}")
        return ",".join(wanted)

    @field_validator("destinations")
    @classmethod
    def _known_places(cls, places: str) -> str:
        for place in filter(None, (each.strip() for each in places.split(","))):
            if not place.startswith(("http://", "https://")) and not _NODE.fullmatch(place):
                raise ValueError("a destination is a DICOMweb address, or TITLE@HOST:PORT")
        return places

    @model_validator(mode="after")
    def _has_a_destination(self) -> Self:
        if self.user and self.token.get_secret_value():
            raise ValueError("set MAMMO_PACS_USER or MAMMO_PACS_TOKEN, not both")
        if bool(self.cert) != bool(self.key):
            raise ValueError("MAMMO_PACS_CERT and MAMMO_PACS_KEY belong together; set both or none")
        return self

    @property
    def places(self) -> tuple[str, ...]:
        """Addresses of the destinations."""
        named = tuple(place for each in self.destinations.split(",") if (place := each.strip()))
        return named or ((self.url,) if self.url else ())


class GatewaySettings(SettingsGroup):
    """The gateway."""

    inference_url: str = Field(
        "http://127.0.0.1:8080", validation_alias="MAMMO_INFERENCE_URL", description="Address of the inference service."
    )
    title: str = Field(
        "MAMMOSTACK", validation_alias="MAMMO_GATEWAY_AE", description="Application entity title of the gateway."
    )
    host: str = Field(
        "127.0.0.1", validation_alias="MAMMO_GATEWAY_HOST", description="Address that the gateway listens on."
    )
    port: int = Field(
        8090,
        validation_alias="MAMMO_GATEWAY_PORT",
        ge=0,
        le=65535,
        description="Port of its HTTP server: STOW-RS, probes and metrics.",
    )
    dicom_port: int = Field(
        0,
        validation_alias="MAMMO_GATEWAY_DICOM_PORT",
        ge=0,
        le=65535,
        description="Port of its DICOM listener (C-STORE); 0 means none.",
    )
    callers: str = Field(
        "",
        validation_alias="MAMMO_GATEWAY_CALLERS",
        description="Titles of nodes that may connect, separated by commas; required beyond loopback.",
    )
    token: SecretStr = Field(
        SecretStr(""),
        validation_alias="MAMMO_GATEWAY_TOKEN",
        description="Bearer token that senders of STOW-RS give; required beyond loopback.",
    )
    tls_cert: str | None = Field(
        None, validation_alias="MAMMO_GATEWAY_TLS_CERT", description="File of the DICOM certificate; empty: no TLS."
    )
    tls_key: str | None = Field(None, validation_alias="MAMMO_GATEWAY_TLS_KEY", description="File of its key.")
    tls_ca: str | None = Field(
        None,
        validation_alias="MAMMO_GATEWAY_TLS_CA",
        description="File of the authority that certificates of other nodes must be of.",
    )
    associations: int = Field(
        10, validation_alias="MAMMO_GATEWAY_ASSOCIATIONS", ge=1, description="DICOM connections at a time."
    )
    film_mb: int = Field(
        256, validation_alias="MAMMO_GATEWAY_FILM_MB", ge=1, description="Larger films are refused (MB)."
    )
    disk_percent: int = Field(
        90,
        validation_alias="MAMMO_GATEWAY_DISK_PERCENT",
        ge=1,
        le=100,
        description="Use of the store's disk above which films are refused; senders try again.",
    )
    keep_h: float = Field(
        72,
        validation_alias="MAMMO_GATEWAY_KEEP_H",
        gt=0,
        description="Hours after which pushed films that led to no result are deleted, unless one waits to be stored.",
    )

    @field_validator("title")
    @classmethod
    def _a_title(cls, title: str) -> str:
        if not _TITLE.fullmatch(title):
            raise ValueError("a title has 1 to 16 printable characters without a backslash")
        return title

    @field_validator("host")
    @classmethod
    def _a_host(cls, host: str) -> str:
        return check_host(host)

    @model_validator(mode="after")
    def _safe_beyond_loopback(self) -> Self:
        if len({bool(each) for each in (self.tls_cert, self.tls_key, self.tls_ca)}) > 1:
            raise ValueError("MAMMO_GATEWAY_TLS_CERT, _KEY and _CA belong together; set all or none")
        if self.on_loopback:
            return self
        if self.dicom_port and not self.allowed_callers:
            raise ValueError("set MAMMO_GATEWAY_CALLERS: beyond loopback only nodes that are named may connect")
        if not self.token.get_secret_value():
            raise ValueError("set MAMMO_GATEWAY_TOKEN: beyond loopback senders must authenticate")
        return self

    @property
    def on_loopback(self) -> bool:
        """True if the gateway can be reached from this machine alone."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def allowed_callers(self) -> tuple[str, ...]:
        """Titles of the nodes that may connect; empty: any."""
        return tuple(title for each in self.callers.split(",") if (title := each.strip()))


def node_of(place: str) -> tuple[str, str, int] | None:
    """Return title, host and port of a node; None for a DICOMweb address."""
    found = _NODE.fullmatch(place)
    return (found[1], found[2].strip("[]"), int(found[3])) if found else None
