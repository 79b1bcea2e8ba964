"""What the unit tests share."""
from __future__ import annotations

import pytest

from blender_sd.session import Session


@pytest.fixture
def session():
    """Makes sessions on a pipeline factory, and shuts them down."""
    sessions = []

    def make(factory):
        sessions.append(Session(factory))
        return sessions[-1]

    yield make
    for one in sessions:
        assert one.shutdown()
