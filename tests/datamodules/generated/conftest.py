"""The heads; the ict head only where its arrays are at hand."""

import os

import pytest

from datamodules.generated.head import load_head


@pytest.fixture(scope="session")
def load():
    def of(name: str):
        if name == "ict" and not os.environ.get("FACEGAN_ASSETS"):
            pytest.skip("FACEGAN_ASSETS is not set: the ict head is not at hand")
        return load_head(name)

    return of
