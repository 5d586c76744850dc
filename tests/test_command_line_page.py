"""The page on the command line, and that on several processes, beside the code.

Every option is on the page, every line on it can be given, and the examples
print what the page shows.
"""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from nextword import cli, tasks

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "book" / "command_line.md").read_text("utf-8")
PAGE = PAGE.replace("\\\n", "")  # a line that goes on below
PARALLEL = (ROOT / "book" / "parallel.md").read_text("utf-8")
SECTIONS = {
    "pretrain": "Train a model",
    "generate": "Let a model write",
    "evaluate": "Measure a model",
    "recipes": "Run a recipe",
}
DECIMAL = r"\d+\.\d{4}"


def commands():
    """The parser of each command."""
    for action in cli.parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    raise AssertionError("there are no commands")


def options(command):
    """The options of a command by name, without --help."""
    found = {}
    for action in commands()[command]._actions:
        for name in action.option_strings:
            if name not in ("-h", "--help"):
                found[name] = action
    return found


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]


def rows(text):
    """The rows of the tables whose first cell is an option: its cells."""
    for line in text.splitlines():
        if line.startswith("| `--"):
            first, *cells = (cell.strip() for cell in line.split("|")[1:-1])
            yield first.strip("`").split()[0], cells


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)


def lines(page):
    """Every command line of a page, as a list of words."""
    for block in blocks(page, "bash"):
        yield from (shlex.split(line) for line in block.splitlines())
    for block in blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                yield shlex.split(line[2:])


def test_every_command_is_on_the_page():
    named = re.findall(r"^\| `nextword (\w+)` \|", PAGE, re.M)
    assert named == list(commands())


@pytest.mark.parametrize("command", SECTIONS)
def test_every_option_is_in_the_tables_and_no_other(command):
    named = [name for name, _ in rows(section(SECTIONS[command]))]
    assert sorted(named) == sorted(options(command))


@pytest.mark.parametrize("command", set(commands()) - set(SECTIONS))
def test_the_other_commands_have_no_options(command):
    assert options(command) == {}


def test_every_option_in_the_text_exists():
    known = {name for command in commands() for name in options(command)}
    known |= {"--help", "--version"}
    torchrun = {"--standalone", "--nproc-per-node"}
    assert set(re.findall(r"--[a-z][a-z-]*", PAGE)) <= known | torchrun


def test_the_tasks_are_those_of_the_command():
    action = next(a for a in commands()["pretrain"]._actions if a.choices)
    named = re.findall(
        r"^\| `([a-z-]+)(?: FILE)?` \| a (?:GPT|BERT)", PAGE, re.M
    )
    assert named == list(action.choices)


def test_the_values_of_the_tasks_are_the_true_ones():
    found = {
        name: cells[:3]
        for name, cells in rows(section(SECTIONS["pretrain"]))
        if len(cells) == 4
    }
    defaults = (tasks.TOWN_GPT, tasks.TOWN_BERT, tasks.TEXT)
    for name, cells in found.items():
        field = name[2:].replace("-", "_")
        assert [float(cell) for cell in cells] == [
            getattr(task, field) for task in defaults
        ], name
    fields = [f"--{name.replace('_', '-')}" for name in vars(defaults[0])]
    known = options("pretrain")
    assert sorted(found) == sorted(name for name in fields if name in known)


@pytest.mark.parametrize("command", ["generate", "evaluate"])
def test_the_values_of_options_are_the_true_ones(command):
    words = {"all": None, "nothing": ""}
    for name, (_, value) in rows(section(SECTIONS[command])):
        action = options(command)[name]
        assert action.required == (value == "must be given")
        if not action.required:
            expected = words.get(value, value.strip("`"))
            kind = action.type or str
            assert action.default == (expected and kind(expected)), name


@pytest.mark.parametrize("page", [PAGE, PARALLEL], ids=["one", "several"])
def test_every_line_of_a_page_can_be_given(page):
    run = pytest.importorskip("torch.distributed.run")
    number = 0
    for program, *words in lines(page):
        if program == "torchrun":
            given = run.get_args_parser().parse_args(words)
            assert given.module and given.training_script == "nextword"
            words = given.training_script_args
        else:
            assert program == "nextword"
        cli.parser().parse_args(words)
        number += 1
    assert number >= 5


def test_the_messages_on_the_pages_are_in_the_library():
    source = "".join(
        path.read_text("utf-8") for path in (ROOT / "nextword").glob("*.py")
    )
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    source = re.sub(r"\{[^{}]*\}", "…", source)
    table = PAGE.partition("| what you see | what to do |")[2]
    messages = re.findall(r"^\| `(.+?)` \|", table, re.M)
    assert len(messages) > 5
    for page in (PAGE, PARALLEL):
        for block in blocks(page, "text"):
            messages += block.splitlines()
    for message in messages:
        general = re.sub(r"\b(\d+|nan|loss)\b", "…", message)
        assert general in source, message


def assert_like(found, shown):
    """The same text; … is any, and decimal numbers may differ by a little."""
    parts = re.split(rf"(…|{DECIMAL})", shown.rstrip("\n"))
    patterns = {"…": "[\\s\\S]*?"}
    pattern = "".join(
        patterns.get(part, f"({DECIMAL})") if number % 2 else re.escape(part)
        for number, part in enumerate(parts)
    )
    match = re.fullmatch(pattern, found.rstrip("\n"))
    assert match, f"{found!r} is not like {shown!r}"
    numbers = [float(n) for n in re.findall(DECIMAL, shown)]
    trained = [float(n) for n in match.groups()]
    assert trained == pytest.approx(numbers, rel=0.01)


def test_the_examples_print_what_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEXTWORD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    diary = "".join(f"Day {n}. I trained a model again.\n" for n in range(60))
    Path("diary.txt").write_text(diary, "utf-8")
    number = 0
    for block in blocks(PAGE, "console"):
        for example in re.split(r"^\$ ", block, flags=re.M)[1:]:
            line, _, shown = example.partition("\n")
            status = cli.main(shlex.split(line)[1:])
            out, error = capsys.readouterr()
            wrong = shown.startswith("nextword: ")
            assert (status, bool(error)) == (int(wrong), wrong), error
            assert_like(error if wrong else out, shown)
            number += 1
    assert number >= 10
    named = re.findall(r"^\| `([a-z]+\.[a-z]+)` \|", PAGE, re.M)
    there = [path.name for path in Path("runs/small").iterdir()]
    assert sorted(named) == sorted(there)


def test_the_comparison_can_fail():
    assert_like("loss 3.0100, done\nx\n", "loss 3.0000, …\n")
    for found in ("loss 3.1000, done", "loss three", "Loss 3.0000, done"):
        with pytest.raises(AssertionError):
            assert_like(found, "loss 3.0000, …")
