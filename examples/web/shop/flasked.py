"""For gunicorn's own workers: ``gunicorn shop.flasked:app``."""

import os

from flask import Flask, request

import suture
from shop.prices import total

suture.install(service="shop")
app = Flask("shop")


@app.get("/total")
def quote():
    """The price, and who worked it out."""
    return {"total": total(int(request.args["net"]), int(request.args["quantity"])), "pid": os.getpid()}
