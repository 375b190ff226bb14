"""The demo's way out."""

import os
import signal
from contextlib import suppress

import pytest

from shared.demo import ending_on_signals


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_and_is_not_forgotten_when_its_exception_was_dropped(sign: signal.Signals) -> None:
    with ending_on_signals() as interrupted:
        interrupted()
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), sign)
            pytest.fail("the signal did not interrupt")
        with pytest.raises(KeyboardInterrupt):
            interrupted()


def test_signals_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ending_on_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
