"""Work on one film: which errors are tried again, which are not, and what is counted meanwhile."""

import errno

import pytest

from shared.errors import (
    DiskUnavailable,
    NotAMammogram,
    QueueUnavailable,
    StoreMisconfigured,
    StoreUnavailable,
    UndecodableImage,
)
from shared.queue.attempts import GivenUp, WorkerLost, attempt, code_of, storable, text_of
from tests.support.builders import Tries

MOST = 3


class Work:
    """Raises what is left of its errors, one at each call, and then returns "done"."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def tried(work: Work, tries: Tries | None = None, hopeless: tuple[type[Exception], ...] = ()) -> str | GivenUp:
    return attempt(tries or Tries(), "run", "augment", "mdb001", MOST, work, hopeless)


class TestAttempt:
    def test_work_that_succeeds_is_done_once_and_its_count_dropped(self) -> None:
        work, tries = Work(), Tries()
        assert tried(work, tries) == "done"
        assert (work.calls, tries.begun) == (1, {})

    def test_an_error_is_tried_again(self) -> None:
        work = Work(ValueError("bad"), ValueError("bad"))
        assert tried(work) == "done"
        assert work.calls == MOST

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
    def test_a_local_disk_that_takes_nothing_is_no_fault_of_the_film(self, code: int) -> None:
        wrapped = RuntimeError("the library says it in its own words")
        wrapped.__cause__ = OSError(code, "No room", "/a/graph.onnx")
        tries = Tries()
        with pytest.raises(DiskUnavailable, match=r"the disk of /a/graph.onnx can't be used \(No room\); free some"):
            tried(Work(wrapped), tries)
        assert set(tries.begun.values()) <= {0}

    def test_another_error_of_a_file_is(self) -> None:
        missing = FileNotFoundError(errno.ENOENT, "No such file", "/a/graph.onnx")
        assert tried(Work(*[missing] * MOST)) == GivenUp(missing)

    def test_after_the_last_try_the_last_reason_is_given(self) -> None:
        last = ValueError("third")
        work, tries = Work(ValueError("first"), ValueError("second"), last), Tries()
        assert tried(work, tries) == GivenUp(last)
        assert (work.calls, tries.begun) == (MOST, {})

    def test_an_error_that_is_hopeless_is_not_tried_again(self) -> None:
        error = NotAMammogram("no breast in it")
        work, tries = Work(error), Tries()
        assert tried(work, tries, hopeless=(NotAMammogram,)) == GivenUp(error)
        assert (work.calls, tries.begun) == (1, {})

    @pytest.mark.parametrize("error", [StoreUnavailable("a"), StoreMisconfigured("b"), QueueUnavailable("c")], ids=str)
    def test_an_error_of_the_surroundings_is_raised_and_does_not_count(self, error: Exception) -> None:
        tries = Tries()
        with pytest.raises(type(error)):
            tried(Work(error), tries)
        assert tries.begun == {"mdb001": 0}

    def test_deaths_of_workers_count_as_tries(self) -> None:
        work = Work()
        found = tried(work, Tries(mdb001=MOST))
        assert isinstance(found, GivenUp)
        assert isinstance(found.reason, WorkerLost)
        assert work.calls == 0
        assert tried(Work(), Tries(mdb001=MOST - 1)) == "done"

    def test_an_exit_of_the_process_is_not_held_up(self) -> None:
        tries = Tries()
        with pytest.raises(KeyboardInterrupt):
            tried(Work(KeyboardInterrupt()), tries)
        assert tries.begun == {"mdb001": 1}, "the next worker must know that one ended meanwhile"


class TestTexts:
    def test_our_errors_have_their_code_and_others_are_internal(self) -> None:
        assert code_of(UndecodableImage("truncated")) == "undecodable-image"
        assert code_of(ZeroDivisionError()) == "internal"

    def test_errors_of_others_are_named(self) -> None:
        assert text_of(UndecodableImage("truncated")) == "truncated"
        assert text_of(ZeroDivisionError("by zero")) == "ZeroDivisionError: by zero"

    def test_what_utf_8_can_not_hold_is_escaped(self) -> None:
        assert storable("gr\udcf6\udcdfe") == r"gr\udcf6\udcdfe"

    @pytest.mark.parametrize(("length", "stored"), [(2000, 2000), (2001, 2004)])
    def test_a_long_text_is_cut_and_says_so(self, length: int, stored: int) -> None:
        text = storable("x" * length)
        assert len(text) == stored
        assert text.endswith(" ...") is (length > 2000)
