"""
Customers: each asks for a price, checks the answer, and asks again.

``python load.py URL|celery THREADS A_SECOND`` prints a line of JSON each tenth of a second: a list of what was answered since
the last, each [asked, answered, pid, word, hung_up], word one of right, wrong, or why there was no answer.  Times are of the
monotonic clock, which processes of one machine share.  A line on standard input is another rate (0: as fast as they can); its
end ends us, after the last answer.

Each HTTP request is a connection of its own: on one that is kept, a server that recycles its workers may hang up right
under the next request, and who failed then would be a matter of opinion.  Even so a worker that ends can take a connection
that it won't read: one that was reset before the first byte of an answer is asked once more, as proxies in front of such a
server do with a GET, and counted (hung_up).
"""

import http.client
import itertools
import json
import os
import sys
import threading
import time
from collections import deque
from urllib.parse import urlsplit

LINE_S = 0.1
PATIENCE_S = 10


class HungUp(ConnectionResetError):
    """A connection was taken, and dropped before the first byte of an answer."""


def over_http(url):
    """One that asks over HTTP."""
    where = urlsplit(url)

    def ask(net, quantity):
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE_S)
        try:
            try:
                connection.request("GET", f"{where.path}?net={net}&quantity={quantity}", headers={"Connection": "close"})
                response = connection.getresponse()
            except ConnectionResetError as error:  # RemoteDisconnected is one
                raise HungUp(str(error)) from error
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise OSError(f"status {response.status}")
        return json.loads(body)

    return ask


def over_celery():
    """One that sends tasks and waits for their results."""
    from celery import Celery  # not shop.tasks: that is the workers'

    app = Celery("customers", config_source="shop.broker")
    app.finalize()

    return lambda net, quantity: app.send_task("shop.tasks.quote", (net, quantity)).get(timeout=PATIENCE_S, interval=0.005)


class Load:
    """So many threads that ask."""

    def __init__(self, ask, threads, a_second):
        self.ask = ask
        self.a_second = a_second
        self.rows = deque()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(threads)]

    def run(self, number):
        """One customer, until the end."""
        orders = itertools.product(range(200 + number, 5000, 17), range(1, 9))
        for net, quantity in itertools.cycle(orders):
            asked, hung_up = time.monotonic(), []
            try:
                answer = self.once_more(net, quantity, hung_up)
                pid, word = answer["pid"], "right" if answer["total"] == net * quantity * 119 // 100 else "wrong"
            except Exception as error:
                pid, word = 0, f"{type(error).__name__}: {error}"
            self.rows.append((asked, time.monotonic(), pid, word, len(hung_up)))
            rest_s = asked + len(self.threads) / self.a_second - time.monotonic() if self.a_second else 0
            if self.over.wait(max(0, rest_s)) if rest_s > 0 else self.over.is_set():
                return

    def once_more(self, net, quantity, hung_up):
        """Ask, and once more if nobody heard the first time."""
        try:
            return self.ask(net, quantity)
        except HungUp as error:
            hung_up.append(error)
            return self.ask(net, quantity)

    def tell(self):
        """Print what was answered since the last line."""
        print(json.dumps([self.rows.popleft() for _ in range(len(self.rows))]), flush=True)

    def listen(self):
        """Take rates from standard input until it ends."""
        while line := os.read(0, 100):
            self.a_second = float(line.split()[-1])
        self.over.set()


def main(target, threads, a_second):
    """Ask until standard input ends."""
    load = Load(over_celery() if target == "celery" else over_http(target), int(threads), float(a_second))
    for thread in (*load.threads, threading.Thread(target=load.listen, daemon=True)):
        thread.start()
    while not load.over.wait(LINE_S):
        load.tell()
    for thread in load.threads:
        thread.join()
    load.tell()


if __name__ == "__main__":
    main(*sys.argv[1:])
