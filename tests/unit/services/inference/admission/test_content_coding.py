"""Content codings that are undone, within the bounds of a body."""

import gzip
import zlib

import pytest
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from services.inference.admission.bodies import bounded
from services.inference.admission.content_coding import PIECE, check_coding, decoded
from shared.errors import InputError
from tests.support.bodies import in_pieces

TEXT = bytes(range(256)) * 40


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


class TestDecoded:
    @pytest.mark.parametrize(
        ("coding", "body"),
        [
            (None, TEXT),
            ("gzip", gzip.compress(TEXT)),
            ("gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),  # RFC 1952: members follow each other
            ("deflate", zlib.compress(TEXT)),
            ("deflate", bare_deflate(TEXT)),
        ],
    )
    @pytest.mark.parametrize("size", [1, 7, 1 << 16])
    def test_a_coding_is_undone_in_whatever_pieces_the_body_comes(
        self, coding: str | None, body: bytes, size: int
    ) -> None:
        assert b"".join(decoded(in_pieces(body, size), coding)) == TEXT

    @pytest.mark.parametrize(
        ("coding", "body", "told"),
        [
            ("gzip", TEXT, "is not valid gzip data"),
            ("deflate", b"\x08\xff" + TEXT, "is not valid deflate data"),
            ("gzip", gzip.compress(TEXT)[:-5], "are truncated"),
            ("deflate", zlib.compress(TEXT)[:-5], "are truncated"),
            ("deflate", zlib.compress(TEXT) + b"more", "extra bytes"),
            ("gzip", gzip.compress(TEXT) + b"more", "is not valid gzip data"),
        ],
    )
    def test_data_that_are_not_of_their_coding_are_told(self, coding: str, body: bytes, told: str) -> None:
        with pytest.raises(InputError, match=told):
            list(decoded(in_pieces(body, 1000), coding))

    def test_an_empty_body_is_empty_in_any_coding(self) -> None:
        assert list(decoded(iter(()), "gzip")) == []

    def test_what_decompresses_beyond_its_bound_is_stopped_there(self) -> None:
        taken: list[int] = []
        pieces = bounded(
            decoded([gzip.compress(bytes(10 * PIECE))], "gzip"), 2 * PIECE, "MAMMO_MAX_IMAGE_MB", taken.append
        )
        with pytest.raises(RequestEntityTooLarge, match="exceeds 8 MB"):
            list(pieces)
        assert taken == [PIECE, 2 * PIECE]


class TestCheckCoding:
    @pytest.mark.parametrize(
        ("named", "coding"), [("", None), ("identity", None), ("GZIP", "gzip"), ("x-gzip", "gzip")]
    )
    def test_a_coding_is_known_by_its_names(self, named: str, coding: str | None) -> None:
        assert check_coding(named) == coding

    @pytest.mark.parametrize("named", ["br", "zstd", "gzip, gzip"])
    def test_any_other_coding_is_refused_by_its_name(self, named: str) -> None:
        with pytest.raises(UnsupportedMediaType, match=f"'{named}' is not supported; send gzip or deflate"):
            check_coding(named)
