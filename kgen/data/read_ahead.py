"""The next batches, made on a few threads while the current one is in use."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

from kgen.progress import WORKERS


class ReadAhead:
    """Calls `make(number)` for the numbers that come next, ahead of time.

    Args:
        make: function of a batch's number; called by several threads at once.
        depth: batches made ahead.
    """

    def __init__(self, make, depth=2 * WORKERS):
        self._make, self._depth = make, depth
        self._coming, self._lock, self._pool = {}, threading.Lock(), None
        self.process = os.getpid()  # another one, forked, has none of the threads

    def get(self, number, end):
        """What `make(number)` returns; begins with those that follow, before `end`."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="kgen-read-ahead")
            this = self._coming.pop(number, None) or self._pool.submit(self._make, number)
            for other in [n for n in self._coming if not number < n <= number + self._depth]:
                self._coming.pop(other).cancel()  # the position has changed
            for following in range(number + 1, min(end, number + 1 + self._depth)):
                if following not in self._coming:
                    self._coming[following] = self._pool.submit(self._make, following)
            if number + 1 >= end:  # threads of what is over would pile up
                self._pool.shutdown(wait=False)
                self._pool = None
        return this.result()
