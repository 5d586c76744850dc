"""The command line: what it prints, and one clear line for each mistake."""

import contextlib
import errno
import io
import math
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nextword import __version__, cli, commands, downloads, evaluation, storage
from nextword.batches import TokenBatches
from nextword.downloads import SHAKESPEARE
from nextword.filling import fill_score
from nextword.gaps import WITH_RECAPS, held_out_gaps
from nextword.pretrained import load_pretrained
from nextword.stories import SHORT, StoryBatches, held_out
from nextword.tasks import validation
from nextword.town import make_story
from nextword.words import END, MASK, town_tokenizer

ROOT = Path(__file__).parent.parent
GIVEN = Path(os.environ.get("NEXTWORD_DATA", "nowhere")) / SHAKESPEARE.name
TEXT = "".join(random.Random(4).choices("the cat saw a dog 猫.\n", k=3000))
SMALL = "--batch-size 2 --d-model 16 --n-heads 2 --n-layers 1 --save-every 2"
TINY = f"--steps 5 --context-length 16 {SMALL}"
TRAIN = {
    "gpt": f"pretrain town-gpt --steps 3 {SMALL} --out gpt",
    "bert": f"pretrain town-bert --steps 3 {SMALL} --out bert",
    "text": f"pretrain text story.txt {TINY} --out text",
    "pieces": f"pretrain text story.txt {TINY} --vocab-size 280 --out pieces",
}


def run(folder, line):
    """One command in a folder: its status, what it prints, its errors."""
    out, error = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)
    )
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        try:
            status = cli.main(shlex.split(line))
        except SystemExit as end:  # of argparse
            status = end.code
    out.seek(0), error.seek(0)
    return status, out.read(), error.read()


def files(folder):
    """Every folder, and every file with what it holds."""
    return {
        p.relative_to(folder).as_posix(): p.is_file() and p.read_bytes()
        for p in folder.rglob("*")
    }


@pytest.fixture(scope="module", autouse=True)
def no_bar():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TQDM_DISABLE", "1")
        yield


class Stop(Exception):
    """Something went wrong in the middle."""


@contextlib.contextmanager
def stopping(at, action, kind=TokenBatches):
    """Before batch number ``at``, something happens."""
    real = kind.__call__

    def call(self, number):
        if number == at:
            action()
        return real(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "__call__", call)
        yield


def give_up():
    raise Stop


def press():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of each kind, and what the commands printed."""
    folder, printed = tmp_path_factory.mktemp("trained"), {}
    (folder / "story.txt").write_text(TEXT, encoding="utf-8")
    for name, line in TRAIN.items():
        printed[name] = run(folder, line)
    line = TRAIN["text"].replace("--out text", "--out unfinished")
    with stopping(3, give_up), pytest.raises(Stop):
        run(folder, line)
    return folder, printed


@pytest.fixture
def place(trained, tmp_path):
    """A copy of the story, to begin in."""
    shutil.copy(trained[0] / "story.txt", tmp_path)
    return tmp_path


# What the commands print.


@pytest.mark.parametrize("name", ["gpt", "text", "pieces"])
def test_pretrain_says_the_loss_and_shows_three_texts(trained, name):
    folder, printed = trained
    status, out, error = printed[name]
    assert (status, error) == (0, "")
    first, _, rest = out.partition("\n")
    steps = 3 if name == "gpt" else 5
    assert re.fullmatch(
        rf"{steps} steps, loss \d\.\d{{4}}\. See {name}\.", first
    )
    assert (folder / name / "samples.txt").read_text("utf-8") == rest
    if name == "gpt":
        assert len(rest.strip().split("\n\n")) == 3
        assert set(rest.split()) <= set(town_tokenizer().words)


def test_pretrain_says_the_loss_of_a_bert(trained):
    status, out, error = trained[1]["bert"]
    assert (status, error) == (0, "")
    assert re.fullmatch(r"3 steps, loss \d\.\d{4}\. See bert\.\n", out)
    assert not (trained[0] / "bert" / "samples.txt").exists()


@pytest.mark.parametrize("name", TRAIN)
def test_the_command_is_kept_with_the_model(trained, name):
    card = load_pretrained(trained[0] / name).card
    assert card.command == f"nextword {TRAIN[name]}"
    assert card.training["batch_size"] == 2
    assert card.sizes["d_model"] == 16


def test_every_setting_reaches_the_training(place):
    line = (
        "pretrain text story.txt --steps 6 --batch-size 3 --context-length 9 "
        "--d-model 12 --n-heads 3 --n-layers 2 --warmup 2 --seed 5 --lr 0.5 "
        "--save-every 4 --dtype bfloat16 --vocab-size 270 --out 'my run'"
    )
    assert run(place, line)[0] == 0
    model, tokenizer, card = load_pretrained(place / "my run")
    assert card.command == f"nextword {line}"
    asked = {
        "steps": 6,
        "batch_size": 3,
        "warmup": 2,
        "seed": 5,
        "lr": 0.5,
        "save_every": 4,
        "precision": "bfloat16",
    }
    assert asked.items() <= card.training.items()
    sizes = {"context_length": 9, "d_model": 12, "n_heads": 3, "n_layers": 2}
    assert sizes.items() <= card.sizes.items()
    assert card.data["name"] == "story.txt"
    assert tokenizer.vocab_size == model.config.vocab_size == 270


def test_without_a_folder_the_run_is_named_after_its_task(place):
    assert run(place, f"pretrain text story.txt {TINY}")[0] == 0
    assert load_pretrained(place / "runs" / "text").card.kind == "gpt"


@pytest.mark.parametrize("name", TRAIN)
def test_a_finished_run_says_the_same_again(trained, name):
    folder, printed = trained
    before = files(folder / name)
    with stopping(0, give_up), stopping(0, give_up, StoryBatches):
        assert run(folder, TRAIN[name]) == printed[name]
    after = files(folder / name)
    weights = "model.safetensors"  # whose metadata have no fixed order
    assert len(before.pop(weights)) == len(after.pop(weights))
    assert before == after


def test_generate_goes_on_with_a_prompt(trained):
    folder, _ = trained
    line = "generate --checkpoint gpt --prompt 'Anna was at the' --tokens 7"
    status, out, error = run(folder, line)
    assert (status, error) == (0, "")
    assert out.startswith("Anna was at the ") and out.endswith("\n")
    assert len(out.split()) <= 11
    assert run(folder, line)[1] == out  # the same seed
    assert run(folder, f"{line} --seed 1")[1] != out
    line = "generate --checkpoint text --prompt 'the cat' --tokens 5"
    status, out, error = run(folder, line)
    assert (status, error) == (0, "")
    assert out.startswith("the cat") and len(out) == 7 + 5 + 1


def test_generate_takes_the_likeliest_token_at_temperature_0(trained):
    folder, _ = trained
    model, tokenizer, _ = load_pretrained(folder / "text")
    ids = tokenizer.encode("a dog")
    for _ in range(6):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    expected = tokenizer.decode(ids) + "\n"
    line = "generate --checkpoint text --prompt 'a dog' --tokens 6"
    assert run(folder, f"{line} --temperature 0")[1] == expected
    assert run(folder, f"{line} --top-k 1 --seed 3")[1] == expected
    assert run(folder, f"{line} --top-p 1e-9 --seed 4")[1] == expected
    assert run(folder, f"{line} --temperature 9")[1] != expected


def test_generate_gives_as_many_samples_as_asked_for(trained):
    line = "generate --checkpoint text --prompt aaa --tokens 4 --samples 3"
    texts = commands.say(
        load_pretrained(trained[0] / "text"), "aaa", 4, samples=3
    )
    assert len(texts) == 3 and len(set(texts)) > 1
    assert run(trained[0], line)[1] == "\n\n".join(texts) + "\n"


def test_a_text_ends_where_the_context_does(trained):
    out = run(trained[0], "generate --checkpoint text --prompt saw")[1]
    assert len(out) == 16 + 1
    prompt = "saw a dog saw a"  # one character of room
    out = run(trained[0], f"generate --checkpoint text --prompt '{prompt}'")[1]
    assert out[:15] == prompt and len(out) == 16 + 1


def test_a_story_ends_at_its_end(trained, monkeypatch):
    """A model that tells its first story by heart."""
    folder, _ = trained
    tokens = make_story(3).tokens
    ids = [town_tokenizer().ids[token] for token in (*tokens, END, *tokens)]
    model = load_pretrained(folder / "gpt").model
    told = []

    def tell(model, prompts, number, sampling, stop, generator):
        told.append((prompts, stop))
        end = ids.index(stop[0][0])
        return [ids[:end][:number]] * len(prompts)

    monkeypatch.setattr(commands, "go_on", tell)
    out = run(folder, "generate --checkpoint gpt --tokens 150")[1]
    assert out == " ".join(tokens) + "\n"
    end = town_tokenizer().ids[END]
    assert told == [([[end]], [[end]])]
    assert model.config.context_length == 96


@pytest.mark.parametrize(("name", "text"), [("text", "\n"), ("pieces", "\n")])
def test_without_a_prompt_a_text_begins_after_a_line_break(trained, name, text):
    pretrained = load_pretrained(trained[0] / name)
    expected = commands.say(pretrained, text, 8)[0].removeprefix(text)
    line = f"generate --checkpoint {name} --tokens 8"
    assert run(trained[0], line)[1] == expected + "\n"


def test_without_line_breaks_a_text_begins_after_some_character(place):
    (place / "line.txt").write_text("xyz" * 200, "utf-8")
    line = f"pretrain text line.txt {TINY} --out run"
    assert run(place, line)[0] == 0
    pretrained = load_pretrained(place / "run")
    expected = commands.say(pretrained, "x", 8)[0].removeprefix("x")
    line = "generate --checkpoint run --tokens 8"
    assert run(place, line)[1] == expected + "\n"


def test_generate_fills_the_gaps_for_a_bert(trained):
    folder, _ = trained
    line = (
        "generate --checkpoint bert --prompt 'Anna was at the [MASK] . [MASK]'"
    )
    status, out, error = run(folder, line)
    assert (status, error) == (0, "")
    model, tokenizer, _ = load_pretrained(folder / "bert")
    ids = tokenizer.encode(f"[CLS] Anna was at the {MASK} . {MASK} [SEP]")
    p = model(torch.tensor([ids]))[0].softmax(-1)
    for row, at in zip(out.splitlines(), (5, 7), strict=True):
        parts = [part.split(" ") for part in row.split(", ")]
        shares = [float(share) for _, share in parts]
        assert shares == sorted(shares, reverse=True) and len(shares) == 5
        for word, share in parts:
            found = float(p[at, tokenizer.ids[word]].detach())
            assert f"{found:.2f}" == share
        assert f"{float(p[at].max().detach()):.2f}" == parts[0][1]


def numbers(out):
    rows = [row.split(": ") for row in out.splitlines()]
    return {name: float(value.replace(",", "")) for name, value in rows}


@pytest.mark.parametrize("name", ["text", "pieces"])
def test_evaluate_measures_a_text_model_on_the_last_tenth(trained, name):
    folder, _ = trained
    line = f"evaluate --checkpoint {name} story.txt"
    status, out, error = run(folder, line)
    assert (status, error) == (0, "")
    found = numbers(out)
    model, tokenizer, _ = load_pretrained(folder / name)
    text = validation(TEXT)
    ids = tokenizer.encode(text)
    losses = [
        torch.nn.functional.cross_entropy(
            model(torch.tensor([ids[at : at + 16]]))[0, : len(ids) - 1 - at],
            torch.tensor(ids[at + 1 : at + 17]),
            reduction="sum",
        ).item()
        for at in range(0, len(ids) - 1, 16)
    ]
    loss = sum(losses) / (len(ids) - 1)
    assert list(found) == ["tokens", "loss", "perplexity", "bits per byte"]
    assert found["tokens"] == len(ids) - 1
    assert found["loss"] == pytest.approx(loss, abs=1e-4)
    assert found["perplexity"] == pytest.approx(math.exp(loss), rel=1e-3)
    per_byte = loss * len(ids) / len(text.encode()) / math.log(2)
    assert found["bits per byte"] == pytest.approx(per_byte, abs=2e-4)


def test_evaluate_measures_a_model_of_the_town(trained):
    folder, _ = trained
    line = "evaluate --checkpoint gpt --stories 4 --samples 2"
    status, out, error = run(folder, line)
    assert (status, error) == (0, "")
    model = load_pretrained(folder / "gpt").model
    batch, floor = held_out(4, SHORT)
    loss = evaluation.mean_loss(model, batch)
    assert numbers(out) == pytest.approx(
        {
            "stories": 4,
            "loss": loss,
            "floor": floor,
            "loss / floor": loss / floor,
            "legal share of samples": 0,
        },
        abs=6e-5,
    )
    assert out.startswith("stories: 4\nloss: ")
    assert out.endswith("\nlegal share of samples: 0.0000\n")
    status, out, error = run(folder, "evaluate --checkpoint bert --stories 4")
    assert (status, error) == (0, "")
    model = load_pretrained(folder / "bert").model
    score = fill_score(model, held_out_gaps(4, WITH_RECAPS))
    assert numbers(out) == pytest.approx(
        {"stories": 4, "loss": score.loss, "accuracy": score.accuracy},
        abs=6e-5,
    )


@pytest.mark.skipif(not GIVEN.exists(), reason="NEXTWORD_DATA has no copy")
def test_shakespeare_is_trained_on(place):
    line = f"pretrain shakespeare {TINY}"
    status, out, error = run(place, line)
    assert (status, error) == (0, "")
    assert out.startswith("5 steps, loss ")
    card = load_pretrained(place / "runs" / "shakespeare").card
    assert card.data == {
        "name": "Tiny Shakespeare",
        "sha256": SHAKESPEARE.sha256,
        "characters": 1_115_394,
    }
    assert card.sizes["vocab_size"] == 65
    text = "First Citizen:"
    line = f"generate --checkpoint runs/shakespeare --prompt '{text}'"
    assert run(place, line)[1].startswith(text)


def test_shakespeare_that_cannot_be_had_leaves_nothing(place, monkeypatch):
    def offline(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setenv("NEXTWORD_DATA", str(place / "data"))
    monkeypatch.setattr(
        downloads.platformdirs, "user_cache_dir", lambda _: str(place / "cache")
    )
    monkeypatch.setattr(downloads.urllib.request, "urlopen", offline)
    before = files(place)
    error = assert_one_line(*run(place, f"pretrain shakespeare {TINY}"))
    assert "Network is unreachable. Try again later, or put your own" in error
    assert str(place / "data" / "tinyshakespeare.txt") in error
    assert files(place) == before


# Ctrl-C.


def test_ctrl_c_says_so_and_the_same_command_goes_on(trained, place):
    _, printed = trained
    with stopping(2, press):
        stopped = run(place, TRAIN["text"])
    out = "Stopped after 3 of 5 steps. The same command goes on.\n"
    assert stopped == (130, out, "")
    assert not (place / "text" / "model.safetensors").exists()
    assert run(place, TRAIN["text"]) == printed["text"]
    for name in ("history.json", "samples.txt"):
        expected = (trained[0] / "text" / name).read_bytes()
        assert (place / "text" / name).read_bytes() == expected


def test_a_second_ctrl_c_stops_at_once(trained, place):
    def impatient():
        press()
        press()

    with stopping(3, impatient):
        status, out, error = run(place, TRAIN["text"])
    assert (status, out) == (130, "")
    assert error == (
        "nextword: Stopped at once. The same command goes on from the last "
        "checkpoint, or begins again.\n"
    )
    assert run(place, TRAIN["text"]) == trained[1]["text"]


# Mistakes: one line with a remedy, and nothing is changed.


def assert_one_line(status, out, error):
    assert (status, out) == (1, ""), error
    assert error.startswith("nextword: ") and error.count("\n") == 1
    assert error.endswith("\n") and error.rstrip()[-1] in ".'`"
    assert "Traceback" not in error
    return error


def wrong(line, message):
    return pytest.param(line, message, id=line.replace(TINY, "…"))


TOWN = f"pretrain town-gpt {SMALL} --out new"
STORY = f"pretrain text story.txt {TINY} --out new"
MISTAKES = [
    wrong("pretrain text", "Name a file with a text in UTF-8."),
    wrong("pretrain text none.txt", "There is no file none.txt. Check the na"),
    wrong("pretrain text no/ne.txt", "There is no file no/ne.txt. Check"),
    wrong("pretrain text gpt", "gpt cannot be read: .*Name a file with a"),
    wrong("pretrain text latin.txt", "latin.txt is not a text in UTF-8: .*Con"),
    wrong("pretrain text empty.txt", "The text is empty. Give a file with te"),
    wrong("pretrain text blank.txt", "The text is empty. Give a file with te"),
    wrong("pretrain text short.txt", "Use a longer text or a shorter --con"),
    wrong(
        "pretrain text short.txt --vocab-size 300", "Use a longer text or a sh"
    ),
    wrong("pretrain town-gpt story.txt", "takes no file; `text FILE` does."),
    wrong("pretrain town-bert story.txt", "takes no file; `text FILE` does."),
    wrong("pretrain shakespeare story.txt", "takes no file; `text FILE`"),
    wrong("pretrain town-gpt --vocab-size 300", "Leave --vocab-size out"),
    wrong(f"{TOWN} --device gpu", "no device 'gpu' .*Leave --device out"),
    wrong(f"{TOWN} --device meta", "no device 'meta' .*Leave --device out"),
    wrong(f"{TOWN} --device ''", "no device '' .*Leave --device out"),
    wrong(f"{TOWN} --device cuda:99", "no device 'cuda:99' .*Leave"),
    wrong(f"{TOWN} --device hpu", "no device 'hpu' .*Leave --device out"),
    wrong(f"{TOWN} --context-length 60", "can need 77. Choose --context-l"),
    wrong(f"{TOWN} --batch-size 0", "batch_size is 0. Choose 1 or more."),
    wrong(f"{TOWN} --seed -1", "seed is -1. Choose one from 0 to"),
    wrong(f"{TOWN} --steps 0", "steps is 0. Choose a whole number above 0."),
    wrong(f"{STORY} --steps 0", "steps is 0. Choose a whole number above 0."),
    wrong(f"{STORY} --steps -3", "steps is -3. Choose a whole number above"),
    wrong(f"{STORY} --batch-size 0", "batch_size is 0. Choose 1 or more."),
    wrong(f"{STORY} --batch-size -1", "batch_size is -1. Choose 1 or more."),
    wrong(f"{STORY} --context-length 0", "context_length is 0. Choose 2 or m"),
    wrong(f"{STORY} --d-model 30 --n-heads 4", "d_model"),
    wrong(f"{STORY} --d-model 0", "d_model is 0. Pass an int of 1 or more."),
    wrong(f"{STORY} --n-heads 0", "n_heads is 0. Pass an int of 1 or more."),
    wrong(f"{STORY} --n-layers -1", "n_layers is -1. Pass an int of 1 or"),
    wrong(f"{STORY} --warmup -1", "warmup is -1. Choose a whole"),
    wrong(f"{STORY} --save-every 0", "save_every is 0. Choose a whole number"),
    wrong(f"{STORY} --lr 0", "lr is 0.0. Choose a finite number above 0."),
    wrong(f"{STORY} --lr nan", "lr is nan. Choose a finite number above 0."),
    wrong(f"{STORY} --seed 99999999999999999999", "seed is 9+. Choose one"),
    wrong(f"{STORY} --vocab-size 100", "need 256. Ask for that or more."),
    wrong(f"{STORY} --vocab-size -1", "need 256. Ask for that or more."),
    wrong(
        f"pretrain text story.txt {TINY} --out text --steps 9",
        "text holds another run: its steps is 5, not 9. Choose another --out",
    ),
    wrong(
        f"pretrain text story.txt {TINY} --out gpt",
        "gpt holds another run: its .*delete that folder.",
    ),
    wrong(
        f"pretrain text story.txt {TINY} --out story.txt",
        "'story.txt'.*Check this path and your rights to it",
    ),
    wrong("generate --checkpoint none", "There is no model in none. Train on"),
    wrong("generate --checkpoint story.txt", "There is no model in story.txt"),
    wrong("generate --checkpoint .", "There is no model in "),
    wrong(
        "generate --checkpoint unfinished",
        "training in unfinished is not finished. Run its command again",
    ),
    wrong("generate --checkpoint cut", "model.safetensors is not intact: .*Co"),
    wrong("generate --checkpoint gpt --device gpu", "no device 'gpu'"),
    wrong("generate --checkpoint gpt --tokens 0", "--tokens and --samples of"),
    wrong("generate --checkpoint gpt --tokens -1", "--tokens and --samples of"),
    wrong("generate --checkpoint gpt --samples 0", "--tokens and --samples of"),
    wrong("generate --checkpoint gpt --temperature -1", "Temperature is 0 or"),
    wrong("generate --checkpoint gpt --temperature nan", "Temperature is 0 or"),
    wrong("generate --checkpoint gpt --top-k 0", "top_k a whole number"),
    wrong("generate --checkpoint gpt --top-p 0", "top_p and min_p are"),
    wrong("generate --checkpoint gpt --top-p 2", "top_p and min_p are"),
    wrong("generate --checkpoint gpt --seed -1", "seed is -1. Choose one fr"),
    wrong(
        "generate --checkpoint gpt --seed 99999999999999999999", "Choose one"
    ),
    wrong(
        "generate --checkpoint gpt --prompt 'Anna ate'",
        "'ate' is not one of the 92 words of this tokenizer. Use them, and",
    ),
    wrong(
        "generate --checkpoint gpt --prompt 'Anna was at the pond.'",
        r"'pond\.' is not one of .*put spaces around",
    ),
    wrong(
        "generate --checkpoint text --prompt Queen",
        "'Q' is not one of the .* characters of this tokenizer. Make one",
    ),
    wrong(
        f"generate --checkpoint gpt --prompt '{'Anna ' * 160}'",
        "has 161 tokens, but at most 95 fit into the context. Shorten it.",
    ),
    wrong(
        "generate --checkpoint text --prompt 'saw a dog saw a '",
        "has 16 tokens, but at most 15 fit into the context. Shorten it.",
    ),
    wrong(
        f"generate --checkpoint bert --prompt '{'Anna ' * 190} [MASK]'",
        r"has 193 tokens with \[CLS\] and \[SEP\], but at most 160 fit",
    ),
    wrong(
        "generate --checkpoint bert --prompt 'Anna was at the pond .'",
        r"A BERT fills gaps: write \[MASK\] where a word is missing",
    ),
    wrong("generate --checkpoint bert", r"write \[MASK\] where a word is"),
    wrong(
        "generate --checkpoint bert --prompt 'Zoe was at the [MASK] .'",
        "'Zoe' is not one of the 92 words",
    ),
    wrong("evaluate --checkpoint none", "There is no model in none. Train on"),
    wrong(
        "evaluate --checkpoint unfinished story.txt",
        "is not finished. Run its command again",
    ),
    wrong("evaluate --checkpoint text", "Name a file with a text in UTF-8."),
    wrong("evaluate --checkpoint text none.txt", "There is no file none.txt."),
    wrong("evaluate --checkpoint text gpt", "gpt cannot be read: "),
    wrong("evaluate --checkpoint text latin.txt", "is not a text in UTF-8"),
    wrong("evaluate --checkpoint text empty.txt", "0 tokens.*Give a longer te"),
    wrong("evaluate --checkpoint text short.txt", "one window needs 17. Give"),
    wrong("evaluate --checkpoint text other.txt", "'Q' is not one of the"),
    wrong("evaluate --checkpoint gpt story.txt", "gpt knows the town alone. L"),
    wrong("evaluate --checkpoint bert story.txt", "knows the town alone. Lea"),
    wrong("evaluate --checkpoint gpt --stories 0", "--stories and --samples"),
    wrong("evaluate --checkpoint gpt --samples -1", "--stories and --samples"),
    wrong("evaluate --checkpoint text story.txt --device gpu", "no device"),
]


@pytest.fixture(scope="module")
def messy(trained):
    """The runs, and files that are no good."""
    folder, _ = trained
    (folder / "latin.txt").write_bytes(
        "Ein Königreich für ein Pferd".encode("latin-1")
    )
    (folder / "empty.txt").write_bytes(b"")
    (folder / "blank.txt").write_bytes(b" \n\t \n")
    (folder / "short.txt").write_text("the cat\n" * 20, "utf-8")
    (folder / "other.txt").write_text("the Queen\n" * 99, "utf-8")
    shutil.copytree(folder / "text", folder / "cut")
    weights = folder / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    return folder


@pytest.mark.parametrize(("line", "message"), MISTAKES)
def test_a_mistake_gives_one_line_with_a_remedy(messy, line, message):
    before = files(messy)
    error = assert_one_line(*run(messy, line))
    assert re.search(message, error), error
    assert files(messy) == before


@pytest.mark.skipif(
    "not hasattr(os, 'geteuid') or os.geteuid() == 0",
    reason="needs a user who may not read everything",
)
def test_a_file_that_may_not_be_read_is_named(place):
    (place / "story.txt").chmod(0)
    error = assert_one_line(*run(place, f"pretrain text story.txt {TINY}"))
    assert "story.txt cannot be read: Permission denied." in error


@pytest.mark.parametrize(
    "line",
    [
        "",
        "train",
        "pretrain",
        "pretrain novel",
        "pretrain text story.txt --steps many",
        "pretrain text story.txt --steps 1.5",
        "pretrain text story.txt --dtype float16",
        "pretrain text story.txt --mode tensor",
        "pretrain text story.txt --out",
        "pretrain text story.txt more.txt",
        "pretrain text story.txt --unknown 3",
        "generate",
        "generate --checkpoint gpt --tokens few",
        "evaluate",
        "evaluate --checkpoint",
        "progress now",
    ],
)
def test_a_line_that_cannot_be_understood_shows_the_usage(messy, line):
    before = files(messy)
    status, out, error = run(messy, line)
    assert (status, out) == (2, "")
    assert error.startswith("usage: nextword")
    assert re.search(r"\nnextword.*: error: .*\n$", error)
    assert files(messy) == before


@pytest.mark.parametrize(
    "line",
    ["--help", "pretrain -h", "generate -h", "evaluate -h", "progress -h"],
)
def test_help_is_no_mistake(tmp_path, line):
    status, out, error = run(tmp_path, line)
    assert (status, error) == (0, "")
    assert out.startswith("usage: nextword")
    if line == "--help":
        for name in ("pretrain", "generate", "evaluate", "progress"):
            assert re.search(rf"^ +{name} +\w+", out, re.M)


def test_the_version_is_that_of_the_library(tmp_path):
    assert run(tmp_path, "--version") == (0, f"{__version__}\n", "")


# Disks that are full, and what else the system refuses.


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Free some space, then run the same command again."),
        (errno.EFBIG, "Free some space, then run the same command again."),
        (errno.EACCES, "Check this path and your rights to it, then run the"),
        (errno.EROFS, "Check this path and your rights to it, then run the"),
        (errno.EIO, "Check this path and your rights to it, then run the"),
    ],
)
def test_a_write_that_fails_says_which_and_what_to_do(
    trained, place, monkeypatch, number, remedy
):
    """The second checkpoint is refused; then there is room again."""
    real, left = storage.os.fdopen, [4]

    def refuse(handle, mode):
        file = real(handle, mode)
        left[0] -= 1
        if not left[0]:
            file.write(b"half a file")
            file.close()
            raise OSError(number, os.strerror(number))
        return file

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fdopen", refuse)
        error = assert_one_line(*run(place, TRAIN["text"]))
    path = Path("text") / "training.safetensors"
    assert os.strerror(number) in error and repr(str(path)) in error
    assert remedy in error
    assert sorted(p.name for p in (place / "text").iterdir()) == [
        "model.json",
        "tokenizer.json",
        "training.safetensors",
    ]
    assert run(place, TRAIN["text"]) == trained[1]["text"]
    expected = (trained[0] / "text" / "history.json").read_bytes()
    assert (place / "text" / "history.json").read_bytes() == expected


def test_a_message_of_several_lines_is_shown_as_one(tmp_path, monkeypatch):
    def fail(options):
        raise ValueError("One.\nTwo.\n")

    monkeypatch.setattr(commands, "generate", fail)
    found = run(tmp_path, "generate --checkpoint x")
    assert found == (1, "", "nextword: One. Two.\n")


# Processes of their own.


def nextword(folder, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "nextword", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            **environment,
        },
        timeout=120,
    )


def test_a_real_command_trains(trained, place):
    done = nextword(place, *shlex.split(TRAIN["text"]))
    assert (done.returncode, done.stdout, done.stderr) == trained[1]["text"]
    card = load_pretrained(place / "text").card
    assert card.command == f"nextword {TRAIN['text']}"


def test_a_real_mistake_has_a_status_and_no_traceback(messy):
    done = nextword(messy, "evaluate", "--checkpoint", "text", "none.txt")
    assert_one_line(done.returncode, done.stdout, done.stderr)


def test_a_console_without_the_characters_shows_question_marks(messy):
    done = nextword(
        messy,
        *(
            "generate",
            "--checkpoint",
            "text",
            "--prompt",
            "猫",
            "--tokens",
            "1",
        ),
        PYTHONIOENCODING="ascii",
    )
    assert done.returncode == 0
    assert done.stdout.startswith("?")
