"""What the tests of more than one module need."""

import pytest
import torch

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


@pytest.fixture(autouse=True)
def threads():
    """A test may use another number of threads, but not for the next test."""
    number = torch.get_num_threads()
    yield
    torch.set_num_threads(number)
