"""A small shop, served by Flask, Starlette or Celery."""
