"""Random numbers that depend on what is drawn, not on what was drawn before.

Every draw of the data path is a pure function of (seed, stream, epoch, index): it does not matter which
process, worker or rank draws it, nor in which order, nor whether the run was resumed before.
"""

import numpy as np

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)

FLIP, TARGET, PARTNER, AUGMENT, CROP, CANDIDATE = range(6)
"""Streams: draws for different purposes never share numbers. CANDIDATE is the first of any number of them."""


def philox(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Philox4x32-10 of many counters at once: (N, 4) 32-bit words -> (N, 4) random 32-bit words, uint64.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    c0, c1, c2, c3 = np.asarray(counter, np.uint64).T
    k0, k1 = key
    for _ in range(10):
        low, high = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (
            (high >> _32) ^ c1 ^ np.uint64(k0), high & _LOW, (low >> _32) ^ c3 ^ np.uint64(k1), low & _LOW,
        )  # fmt: skip
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1)


def uniform(seed: int, stream: int, epoch: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Four uniform numbers in [0, 1) for each (epoch, index): (N,), (N,) -> (N, 4) float64."""
    index = np.asarray(index, np.uint64)
    counter = np.empty((len(index), 4), np.uint64)
    counter[:, 0], counter[:, 1] = index & _LOW, index >> _32
    counter[:, 2], counter[:, 3] = epoch, stream
    return philox(counter, (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)) * 2.0**-32


def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order (n,) in which an epoch visits its pictures."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(n)
