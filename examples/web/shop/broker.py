"""Where Celery's tasks and results go: a Redis."""

import os

broker_url = result_backend = os.environ["SHOP_BROKER"]
broker_connection_retry_on_startup = True
