"""``gunicorn -c gunicorn_agent.py``: the master has an agent too, so that what it forks later has what is live."""

import suture

suture.install(service="shop")
