"""All errors: each has a code of its own, and what a status says of a retry is what the class says."""

from collections import Counter

import pytest

from shared import errors
from shared.errors import DatasetError, ImageError, InputError, LimitReached, MammoError, NotAMammogram, StoreError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MammoError)]


class TestTree:
    def test_every_code_is_of_one_class_or_of_it_and_its_children(self) -> None:
        """A child that tells no more than its parent may have its code; two that know nothing of each other may not."""
        for one in KINDS:
            for other in KINDS:
                if one.code == other.code:
                    assert issubclass(one, other) or issubclass(other, one), (one, other)

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
    def test_a_code_is_words_with_hyphens(self, kind: type[MammoError]) -> None:
        assert kind.code == kind.code.lower()
        assert kind.code.replace("-", "").isalpha()

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
    def test_a_status_fits_what_can_be_done(self, kind: type[MammoError]) -> None:
        """The sender corrects a 4xx; only "too many requests" and 5xx may be sent again as they are."""
        if issubclass(kind, InputError):
            assert 400 <= kind.http_status < 500
            assert not kind.retryable
        if kind.retryable:
            assert kind.http_status == 429 or kind.http_status >= 500

    def test_the_tree_in_the_docstring_is_that_of_the_code(self) -> None:
        lines = [line for line in (errors.__doc__ or "").splitlines() if "──" in line or line.strip() == "MammoError"]
        path: list[str] = []
        drawn: dict[str, str] = {}
        for line in lines:
            name = line.strip().lstrip("│├└─ ").split()[0]
            depth = (len(line) - len(line.lstrip(" │├└─"))) // 4 - 1
            del path[depth:]
            drawn[name] = path[-1] if path else "Exception"
            path.append(name)
        assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in KINDS}


class TestFields:
    def test_a_limit_says_when_to_come_again(self) -> None:
        assert LimitReached("60 requests a minute", retry_after_s=7).retry_after_s == 7

    def test_what_is_caught_as_one_kind_is_of_it(self) -> None:
        assert issubclass(NotAMammogram, ImageError)
        assert not issubclass(DatasetError, ImageError)
        assert not issubclass(StoreError, InputError)

    def test_the_root_is_internal(self) -> None:
        assert (MammoError.code, MammoError.retryable, MammoError.http_status) == ("internal", False, 500)
        assert Counter(kind.code for kind in KINDS)["internal"] == 1
