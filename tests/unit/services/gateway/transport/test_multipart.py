"""Multipart/related bodies, read in pieces of any size."""

import io
from collections.abc import Callable

import pytest

from services.gateway.transport.multipart import MalformedMultipart, body_of, boundary_of, parts

PARTS = [b"one\r\n--almost", b"", b"\r\n" * 3, bytes(range(256)) * 20]


def reader(data: bytes, size: int) -> Callable[[int], bytes]:
    file = io.BytesIO(data)
    return lambda most: file.read(min(size, most))


class TestParts:
    @pytest.mark.parametrize("size", [1, 2, 7, 1000, 10**6])
    def test_come_out_as_they_went_in(self, size: int) -> None:
        body = b"".join(body_of(PARTS, b"line"))
        assert list(parts(reader(body, size), b"line", 10**6)) == PARTS


class TestBodyOf:
    @pytest.mark.parametrize("cut", [1, 10, 100, 1000])
    def test_body_that_is_cut_short_is_an_error(self, cut: int) -> None:
        body = b"".join(body_of(PARTS, b"line"))
        with pytest.raises(MalformedMultipart):
            list(parts(reader(body[: -cut - 4], 100), b"line", 10**6))

    def test_part_that_is_too_large_is_an_error_before_it_is_read_to_its_end(self) -> None:
        body = b"".join(body_of([bytes(10 << 20)], b"line"))
        file = io.BytesIO(body)
        with pytest.raises(MalformedMultipart, match="larger than 1 MB"):
            list(parts(file.read, b"line", 1 << 20))
        assert file.tell() < 4 << 20


class TestBoundaryOf:
    @pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/related", "multipart/form-data; boundary=x"])
    def test_other_content_types_are_an_error(self, content_type: str) -> None:
        with pytest.raises(MalformedMultipart):
            boundary_of(content_type)

    @pytest.mark.parametrize("written", ["boundary=abc", 'boundary="abc"', 'Boundary=abc; type="application/dicom"'])
    def test_boundary_is_found_quoted_and_plain(self, written: str) -> None:
        assert boundary_of(f"multipart/related; {written}") == b"abc"
