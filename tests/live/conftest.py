"""A service for the tests of the operator's side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service import Process, Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """No process yet."""
    made = Service(tmp_path)
    yield made
    made.close()


@pytest.fixture
def parent(service: Service) -> Process:
    """A process that has loaded everything and forks the service's processes; it has no agent."""
    (made,) = service.start(1, "suture.status()")
    return made
