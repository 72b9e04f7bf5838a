"""A service for the tests of the operator's side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """No process yet."""
    made = Service(tmp_path)
    yield made
    made.close()
