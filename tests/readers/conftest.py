from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="session")
def networks() -> Path:
    """The folder of trained networks beside the repository, which a clone does not have."""
    folder = SHARED / "networks"
    if not folder.is_dir():
        pytest.skip("the folder of trained networks is not here")
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of image data beside the repository, which a clone does not have."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the folder of image data is not here")
    return folder
