"""For uvicorn: ``uvicorn shop.starred:app``, or gunicorn with uvicorn's workers."""

import os

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

import suture
from shop.prices import total

suture.install(service="shop")


async def quote(request):
    """The price, and who worked it out."""
    asked = request.query_params
    return JSONResponse({"total": total(int(asked["net"]), int(asked["quantity"])), "pid": os.getpid()})


app = Starlette(routes=[Route("/total", quote)])
