"""
For Celery: ``celery -A shop.tasks worker``.

The agent comes with the worker, before its pool forks.  At import it would come into whoever sends tasks, too.
"""

import os
import time

from celery import Celery, signals

import suture
from shop.prices import total

app = Celery("shop")
app.config_from_object("shop.broker")


@signals.worker_init.connect
def reachable(**_):
    """In the parent of the pool; the pool's processes are forked from it."""
    suture.install(service="shop")


@app.task
def quote(net, quantity):
    """The price, and who worked it out."""
    time.sleep(0.02)  # what a task usually waits for; else one of the pool would do all the work
    return {"total": total(net, quantity), "pid": os.getpid()}
