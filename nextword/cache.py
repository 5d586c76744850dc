"""A memory of the keys and values of all tokens so far.

Home: chapter 11, notebooks/11_generation.ipynb. Left out: memory in pages, and
keys of few bits.
"""

from torch import Tensor


def check_capacity(length: int, capacity: int) -> None:
    """Raise ValueError if a cache has no room for ``length`` tokens."""
    if length > capacity:
        raise ValueError(
            f"{length} tokens do not fit in a cache for {capacity}. Make it "
            "with the capacity of the longest text."
        )


class KVCache:
    """The keys and values of one layer, for up to ``capacity`` tokens.

    Room for all is taken at once, so that a new token costs one copy of itself.
    """

    def __init__(self, capacity: int):
        self.capacity, self.length = capacity, 0

    def __len__(self) -> int:
        return self.length

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append k and v (B, H, T, D); return all so far, (B, H, S, D)."""
        check_capacity(self.length + k.shape[2], self.capacity)
        start, self.length = self.length, self.length + k.shape[2]
        if start == 0:
            B, H, _, D = k.shape
            self.k = k.new_empty(B, H, self.capacity, D)
            self.v = v.new_empty(B, H, self.capacity, D)
        self.k[:, :, start : self.length] = k
        self.v[:, :, start : self.length] = v
        return self.k[:, :, : self.length], self.v[:, :, : self.length]

    def cut(self, length: int) -> None:
        """Forget all but the first ``length`` tokens, if it holds more."""
        self.length = min(self.length, length)


def caches(n_layers: int, capacity: int) -> list[KVCache]:
    """One empty cache for each layer."""
    return [KVCache(capacity) for _ in range(n_layers)]
