"""The demo's way in and out."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from shared.cli import demo
from shared.cli.demo import DemoRecipe, ending_on_signals
from shared.errors import InputError
from shared.modelling.network_table import NETWORKS


@pytest.fixture
def _prepared_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stack of a demo is prepared and not started."""

    @contextmanager
    def prepare_alone(*_: Any, prepare: Callable[[], None], **__: Any) -> Iterator[None]:
        prepare()
        yield None

    monkeypatch.setattr(demo, "running_stack", prepare_alone)


MADE = ("store", "films", "broker")


class TestDemoStack:
    @pytest.mark.usefixtures("_prepared_alone")
    def test_a_demo_begins_without_what_an_earlier_one_left(self, tmp_path: Path) -> None:
        for _ in range(2):
            with demo._stack_of_demo(tmp_path, 0):
                assert not any((tmp_path / made).exists() for made in MADE)
            for made in MADE:
                (tmp_path / made).mkdir()
                (tmp_path / made / "left").write_text("of an earlier demo")

    @pytest.mark.usefixtures("_prepared_alone")
    @pytest.mark.parametrize("made", MADE)
    def test_a_demo_empties_nothing_that_is_not_of_a_demo(self, tmp_path: Path, made: str) -> None:
        (tmp_path / made).mkdir()
        (tmp_path / made / "mine").write_text("of somebody else")
        with pytest.raises(InputError, match=f"{made} was not created by a demo"), demo._stack_of_demo(tmp_path, 0):
            pass
        assert (tmp_path / made / "mine").exists()


class TestDemoRecipe:
    def test_real_films_with_imagenet_weights_get_the_best_honest_recipe(self) -> None:
        recipe = DemoRecipe(weights=None, strided=None, profile=None)
        assert recipe.choice(synthetic=False, pretrained=True) == ("places", ("resnet50",))
        assert recipe.choice(synthetic=False, pretrained=False) == ("demo", NETWORKS)
        assert recipe.choice(synthetic=True, pretrained=True) == ("demo", NETWORKS)

    def test_a_profile_that_is_named_is_taken_with_all_networks(self) -> None:
        recipe = DemoRecipe(weights=None, strided=None, profile="quick")
        assert recipe.choice(synthetic=False, pretrained=True) == ("quick", NETWORKS)


class TestEndingOnSignals:
    @pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_interrupts_and_is_not_forgotten_when_its_exception_was_dropped(
        self, sign: signal.Signals
    ) -> None:
        with ending_on_signals() as interrupted:
            interrupted()
            with suppress(KeyboardInterrupt):
                signal.raise_signal(sign)  # to this thread: os.kill may reach another one, and this one later
                pytest.fail("the signal did not interrupt")
            with pytest.raises(KeyboardInterrupt):
                interrupted()

    def test_signals_are_as_before_afterwards(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        with ending_on_signals():
            assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGTERM) is before
