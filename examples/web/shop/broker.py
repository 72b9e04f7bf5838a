"""Where Celery's tasks and results go: $SHOP_BROKER is a folder, or the address of a Redis."""

import os

_where = os.environ["SHOP_BROKER"]
_redis = _where.startswith("redis")

broker_url = _where if _redis else "filesystem://"
broker_transport_options = (
    {}
    if _redis
    else {"data_folder_in": f"{_where}/tasks", "data_folder_out": f"{_where}/tasks", "control_folder": f"{_where}/control"}
)
result_backend = _where if _redis else f"file://{_where}/results"
broker_connection_retry_on_startup = True
