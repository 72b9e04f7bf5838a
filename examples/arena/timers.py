"""The server's timers: a heap of callbacks, each held from the moment it is set until it asks to go."""

import heapq
import itertools


class Timers:
    """Periodic callbacks, called by the tick loop."""

    def __init__(self):
        self.heap = []
        self._order = itertools.count()  # ends ties: callbacks can't be compared

    def every(self, period_s, callback, now):
        """Call *callback* each *period_s* seconds, until it returns False."""
        heapq.heappush(self.heap, (now + period_s, next(self._order), period_s, callback))

    def run_due(self, now):
        """Call what is due; the same callback object is set again, so it may be held for weeks."""
        while self.heap and self.heap[0][0] <= now:
            due, _, period_s, callback = heapq.heappop(self.heap)
            if callback() is not False:
                self.every(period_s, callback, due)

    def callbacks(self):
        """What is held now."""
        return [callback for _, _, _, callback in self.heap]
