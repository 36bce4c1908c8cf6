"""How a long-lived process keeps its memory."""

from __future__ import annotations

import gc

YOUNG = 20_000  # objects; a batch of jobs makes so many, and few of them stay


def settle() -> None:
    """Once, when all is loaded: the collector need not walk it again and again.

    A full collection over our modules takes 50 ms, and a batch of ten thousand jobs caused several.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
