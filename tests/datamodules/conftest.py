import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def data_home(tmp_path, monkeypatch):
    """Prepared stores of a test go to its own folder."""
    monkeypatch.setenv("FACEGAN_DATA", str(tmp_path / "home"))
    return tmp_path / "home"
