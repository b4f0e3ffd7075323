"""What several files of unit tests share."""

import pytest

from tests.unit.survey_server import Server


@pytest.fixture
def root(tmp_path):
    """A server's files, as ``tests.unit.survey_server`` makes them."""
    return Server(tmp_path / "root")
