import socket
from pathlib import Path

import pytest

from goldseam.dataset.reading import Dataset
from tests.unit.audit.bays import build


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return build(tmp_path / "bays")


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to reach a server fails the test."""

    def refuse(self, address):
        raise AssertionError(f"a connection to {address} was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
