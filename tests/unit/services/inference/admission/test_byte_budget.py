"""The bytes that all requests of a process hold: as many as there is room for, and given back."""

import pytest

from services.inference.admission.byte_budget import ByteBudget, Reservation
from services.inference.admission.queueing import Overloaded


class TestByteBudget:
    def test_a_request_that_finds_no_room_is_told_when_to_come_again_and_takes_none(self) -> None:
        room = ByteBudget(100)
        first, second = Reservation(room), Reservation(room)
        first.grow_to(60)
        with pytest.raises(Overloaded, match="again in 2 s") as refused:
            second.grow_to(41)
        assert (refused.value.retry_after_s, room.held) == (2, 60)
        second.grow_to(40)
        assert room.held == 100

    def test_a_share_grows_and_never_shrinks_until_it_is_given_back_once(self) -> None:
        room = ByteBudget(100)
        share = Reservation(room)
        for size in (10, 5, 70):
            share.grow_to(size)
        assert room.held == 70
        share.give_back()
        share.give_back()
        assert room.held == 0
