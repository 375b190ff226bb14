"""TLS of DICOM connections: 1.2 at least, both sides with a certificate (PS3.15 B.12, BCP 195)."""

import ssl
from dataclasses import dataclass


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: the own certificate and key, and the authority that the other side's must be of."""

    certificate: str
    key: str
    authority: str


def server_context(files: Certificates) -> ssl.SSLContext:
    """Return the context of a listener that demands a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return _complete(context, files)


def client_context(files: Certificates) -> ssl.SSLContext:
    """Return the context of a caller, which checks the name of the other side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _complete(context, files)


def _complete(context: ssl.SSLContext, files: Certificates) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.authority)
    return context
