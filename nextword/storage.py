"""Files that are written whole or not at all, and refused when damaged.

Left out: the form of large arrays, which is that of safetensors.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Self

BLANK = "0" * 64  # stands where a digest will be


def write_text(path: str | Path, text: str) -> None:
    """Write a text, in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write to a temporary file in the same folder, then rename it.

    Whatever happens on the way, ``path`` holds the old content or the new one.
    No other file stays behind, unless the process is killed. Missing folders
    are made. An OSError names the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        mode = path.stat().st_mode if path.exists() else 0o644
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and not error.filename:
            error.filename = str(path)
        raise


def seal(content: bytes) -> bytes:
    """The content, with its SHA-256 digest in place of the BLANK it holds."""
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(BLANK.encode(), digest.encode(), 1)


def check_seal(content: bytes, digest: str) -> None:
    """Raise ValueError unless `seal` put the digest into this content."""
    blank = content.replace(digest.encode(), BLANK.encode(), 1)
    if hashlib.sha256(blank).hexdigest() != digest:
        raise ValueError("its content was altered")


class Stored:
    """A dataclass kept as one JSON file, with a digest of its content."""

    def digest(self) -> str:
        """It changes with every field."""
        return _digest(asdict(self))

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        head = {"format": type(self).__name__, "sha256": self.digest()}
        stored = {**head, "content": asdict(self)}
        write_text(path, json.dumps(stored) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; ValueError for any other file."""
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            content = stored["content"]
            if stored["format"] != cls.__name__:
                raise ValueError(f"it holds a {stored['format']}")
            if stored["sha256"] != _digest(content):
                raise ValueError("its content was altered")
            return cls(**content)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is not an intact {cls.__name__} file: {error}. Copy "
                f"it again from where it came, or save the {cls.__name__} again."
            ) from error


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
