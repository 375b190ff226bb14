"""Samples of the films of a large set."""

import numpy as np

from shared.domain.arrays import Int64Array


def drawn(groups: Int64Array, most: int, seed: int = 0) -> Int64Array:
    """Draw at most `most` films, and return their numbers in order; all of them if there are no more.

    Of the films' groups (n,), small ones are kept whole, and the others share the rest: of a screening set, where one
    film in two hundred shows a cancer, all of these are drawn. Films are drawn at random, since neighbours in a list
    differ in view and side.
    """
    if len(groups) <= most:
        return np.arange(len(groups))
    random = np.random.default_rng(seed)
    members = sorted((np.flatnonzero(groups == group) for group in np.unique(groups)), key=len)
    taken: list[Int64Array] = []
    for left, films in zip(range(len(members), 0, -1), members, strict=True):
        share = (most - sum(map(len, taken))) // left
        taken.append(random.choice(films, min(share, len(films)), replace=False))
    return np.sort(np.concatenate(taken))
