"""Lines of `mammo status` on the installation, besides its runs: work that would stand still unnoticed."""

from collections.abc import Callable, Iterator

from shared.batches.unattended import unattended_batches
from shared.errors import MammoError, ModelNotFound, StoreError
from shared.queue.messages import Queue
from shared.runs.unattended import unattended_runs
from shared.store import layout
from shared.store.api_keys import read_keys
from shared.store.interface import ObjectStore
from shared.store.models import ALIASES, is_there, networks, read_alias, read_card


def troubles(store: ObjectStore, open_queue: Callable[[], Queue]) -> Iterator[str]:
    """Yield a line for each: work whose messages are lost, promotions that can't be loaded, keys that can't be read."""
    try:
        queue = open_queue()  # the rest is told without a broker as well
        for run in unattended_runs(store, queue, set()):
            yield f"run {run}: nothing of it is left in the broker; `mammo resume {run}` enqueues what is missing"
        for batch in unattended_batches(store, queue, set()):
            yield f"batch {batch}: nothing of it is left in the broker; `mammo batch resume {batch}` goes on with it"
    except StoreError as error:
        yield f"runs and batches can't be read: {error}"
    except MammoError as error:
        yield f"the broker can't be asked what waits: {error}"
    try:
        read_keys(store)
    except MammoError as error:
        yield f"API keys: {error}"
    for network in networks(store):
        yield from _bad_promotions(store, network)


def _bad_promotions(store: ObjectStore, network: str) -> Iterator[str]:
    for alias in ALIASES:
        try:
            card = read_card(store, network, read_alias(store, network, alias).version)
            missing = [name for name in card.files if not is_there(store, card, name)]
        except ModelNotFound as error:
            if store.exists(layout.alias(network, alias)):
                yield f"the {alias} version of {network} can't be loaded: {error}"
        except MammoError as error:
            yield f"the {alias} version of {network} can't be loaded: {error}"
        else:
            if missing:
                yield f"the {alias} version of {network} can't be loaded: {', '.join(missing)} of it is missing"
