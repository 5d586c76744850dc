"""Public data sets: found on this computer, or fetched once and checked.

A file is looked for in the folder that the environment variable
``NEXTWORD_DATA`` names, then in the user's cache folder; else it is fetched from
its pinned address. Whatever its way, its SHA-256 must be the known one.
"""

import hashlib
import os
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

import platformdirs

from nextword import __version__, storage

TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class PublicFile:
    """A file that others publish."""

    name: str  # of our copy
    url: str
    sha256: str
    licence: str


SHAKESPEARE = PublicFile(
    "tinyshakespeare.txt",
    "https://raw.githubusercontent.com/karpathy/char-rnn/"
    "d1d7aa34fdb3626174bce1d753e6cc6845ce7087/data/tinyshakespeare/input.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    "Shakespeare's plays are in the public domain.",
)


def folders() -> list[Path]:
    """Where files are looked for; the last one is where they are kept."""
    given = os.environ.get("NEXTWORD_DATA")
    cache = Path(platformdirs.user_cache_dir("nextword"))
    return [Path(given), cache] if given else [cache]


def at_hand(file: PublicFile) -> Path | None:
    """The path of an intact copy on this computer; it never fetches one.

    Raises ValueError, with a remedy, for a copy that is damaged.
    """
    for folder in folders():
        path = folder / file.name
        if path.exists():
            remedy = "Delete it, and it will be fetched again."
            check(path.read_bytes(), file, str(path), remedy)
            return path
    return None


def find(file: PublicFile) -> Path:
    """The path of an intact copy, fetched now if there is none.

    Raises ValueError, with a remedy, if none can be had; nothing is kept then.
    """
    if path := at_hand(file):
        return path
    content, path = fetch(file), folders()[-1] / file.name
    check(content, file, file.url, own_copy(file))
    storage.write_bytes(path, content)
    return path


def fetch(file: PublicFile) -> bytes:
    """What stands at the file's address."""
    agent = {"User-Agent": f"nextword/{__version__}"}
    request = urllib.request.Request(file.url, headers=agent)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return answer.read()
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # the answer that it holds
        raise ValueError(
            f"{file.url} could not be fetched: {error}. {own_copy(file)}"
        ) from error


def own_copy(file: PublicFile) -> str:
    """What to do where the network does not help."""
    path = folders()[0] / file.name
    return f"Try again later, or put your own copy at {path}."


def check(content: bytes, file: PublicFile, source: str, remedy: str) -> None:
    """Raise ValueError, with the remedy, unless the content is the known one."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise ValueError(
            f"{source} is not the file that is known as {file.name}: its "
            f"SHA-256 begins with {digest[:8]}, not {file.sha256[:8]}. {remedy}"
        )
