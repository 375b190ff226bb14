"""Multipart forms taken apart, however they come and however they are malformed."""

import pytest
from werkzeug.exceptions import RequestEntityTooLarge

from services.inference.admission.multipart import UploadedFile, read_form
from shared.errors import InputError
from tests.support.bodies import in_pieces


def part(disposition: str, data: bytes) -> bytes:
    return b"--b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (disposition.encode(), data)


END = b"--b--\r\n"


class TestUploadedFile:
    @pytest.mark.parametrize("size", [1, 13, 1 << 16])
    def test_a_form_is_taken_apart_in_whatever_pieces_it_comes(self, size: int) -> None:
        body = (
            part('name="image"; filename="a.pgm"', b"\r\n--\r\n-- b\r\n\r\n")
            + part('name="view"', b"MLO")
            + part('name="image"; filename="b.pgm"', b"")
            + part('name="view"', "ä".encode())
            + END
        )
        form = read_form(in_pieces(body, size), "b", 1000)
        assert form.files == (UploadedFile("a.pgm", b"\r\n--\r\n-- b\r\n\r\n"), UploadedFile("b.pgm", b""))
        assert form.texts == {"view": ("MLO", "ä")}

    def test_an_input_in_which_no_file_was_chosen_is_passed_over(self) -> None:
        body = part('name="image"; filename=""', b"") + part('name="image"; filename=""', b"film") + END
        assert read_form([body], "b", 1000).files == (UploadedFile(None, b"film"),)

    def test_a_file_beyond_its_bound_is_told_and_not_kept_and_the_others_are(self) -> None:
        files = [part(f'name="image"; filename="{size}"', bytes(size)) for size in (10, 11, 3)]
        form = read_form(in_pieces(b"".join(files) + END, 16), "b", 10)
        assert form.files == (UploadedFile("10", bytes(10)), UploadedFile("11", None), UploadedFile("3", bytes(3)))


class TestReadForm:
    def test_a_long_field_without_a_file_name_is_refused_for_what_it_is(self) -> None:
        body = part('name="image"', bytes(500_001)) + END
        with pytest.raises(RequestEntityTooLarge, match="the field 'image' has no file name and more than 500 kB"):
            read_form(in_pieces(body, 1 << 16), "b", 1 << 20)

    @pytest.mark.parametrize(
        ("body", "boundary"),
        [
            (part('name="image"; filename="a"', b"film"), "b"),
            (b"", "b"),
            (part('name="image"; filename="a"', b"film") + END, ""),
            (part('name="image"; filename="a"', b"film") + END, "\u00e9"),
            (b"--b no line end\r\nContent-Disposition: form-data; name=x\r\n\r\nfilm\r\n--b--\r\n", "b"),
            (b"--b\r\nX: y\r\n\r\nfilm\r\n--b--\r\n", "b"),
            (b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nfilm\r\n--b--\r\n', "b"),
        ],
        ids=[
            "no end",
            "empty",
            "no boundary",
            "boundary not of ASCII",
            "no line of its own",
            "no disposition",
            "header not of UTF-8",
        ],
    )
    def test_a_malformed_form_is_told(self, body: bytes, boundary: str) -> None:
        with pytest.raises(InputError, match="not valid multipart/form-data"):
            read_form([body] if body else [], boundary, 1000)

    def test_a_preamble_is_passed_over_and_names_of_headers_may_be_in_any_case(self) -> None:
        body = b'passed over\r\n--b\r\ncontent-disposition: form-data; name="x"\r\n\r\ny\r\n--b--'
        assert read_form([body], "b", 1000).texts == {"x": ("y",)}

    def test_a_field_name_that_may_be_anything_is_not_quoted(self) -> None:
        with pytest.raises(RequestEntityTooLarge, match="the field has no file name"):
            read_form([part('name="DOE^JANE"', bytes(500_001)) + END], "b", 1 << 20)

    def test_a_head_without_an_end_is_refused_before_much_of_it_was_kept(self) -> None:
        with pytest.raises(RequestEntityTooLarge, match="too long a header"):
            read_form(in_pieces(b"--b\r\n" + bytes(50_000) + END, 1000), "b", 1000)

    def test_a_form_of_very_many_parts_is_refused(self) -> None:
        body = part('name="x"', b"") * 101 + END
        with pytest.raises(RequestEntityTooLarge):
            read_form([body], "b", 1000)
