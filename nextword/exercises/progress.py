"""Which exercises the reader has solved, kept in one small JSON file.

The file stands in the user's own data folder, or in the folder that the
environment variable ``NEXTWORD_HOME`` names. Nothing is sent anywhere.
"""

import datetime
import json
import os
from pathlib import Path

import platformdirs

from nextword import storage


def path() -> Path:
    """Where the progress file stands, whether it exists or not."""
    home = os.environ.get("NEXTWORD_HOME") or platformdirs.user_data_dir(
        "nextword"
    )
    return Path(home) / "progress.json"


def solved() -> dict[str, str]:
    """Exercise id to the day it was first solved, as ``2026-01-31``.

    Raises ValueError, naming the file, if it is not what `remember` wrote.
    """
    try:
        stored = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(
            f"{path()} is damaged ({error}). Delete it to start afresh."
        ) from error
    if not isinstance(stored, dict):
        raise ValueError(f"{path()} is damaged. Delete it to start afresh.")
    return stored


def remember(id: str) -> str:
    """Note that exercise ``id`` is solved; return a line that says how it went."""
    try:
        known = solved()
        if id not in known:
            known[id] = datetime.date.today().isoformat()
            text = json.dumps(known, indent=1, sort_keys=True) + "\n"
            storage.write_text(path(), text)
    except (OSError, ValueError) as error:
        return f"Your progress could not be saved: {error}"
    return ""
