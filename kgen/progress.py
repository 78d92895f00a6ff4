"""Long work on the host: on a few threads, in order, with a progress bar."""

import collections
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

WORKERS = min(8, os.cpu_count() or 1)  # threads


def for_all(function, items, what):
    """`function` of each item, on a few threads, with a progress bar; a list in order."""
    return list(progress(in_order(function, items), len(items), what))


def in_order(function, items, threads=WORKERS):
    """Yield `function` of each item in order, made on a few threads, a few items ahead."""
    coming = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                coming.append(pool.submit(function, item))
                if len(coming) > 2 * threads:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def progress(items, total, what, bar_format=None):
    """A progress bar over items, shown if it takes longer than two seconds.

    Not in log files, nor where another thread works ahead of the one that users wait for.
    """
    ahead = threading.current_thread() is not threading.main_thread()
    settings = {"delay": 2, "leave": False, "disable": ahead or None, "bar_format": bar_format}
    return tqdm(items, what, total, **settings)
