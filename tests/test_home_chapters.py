"""Each library definition is shown in one chapter, which runs what it shows."""

import ast
import re

import pytest

from tools import notebooks, pages, sync

FLOORS = {
    "nextword.association": 0,
    "nextword.attribution": 0,
    "nextword.bleu": 0,
    "nextword.cache": 0,
    "nextword.classification": 0,
    "nextword.docstrings": 0,
    "nextword.layouts": 0,
    "nextword.lora": 0,
    "nextword.losses": 0,
    "nextword.machines": 0,
    "nextword.metrics": 0,
    "nextword.ngram": 0,
    "nextword.optim": 0,
    "nextword.parallel": 0,
    "nextword.plots": 0,
    "nextword.public_forms": 0,
    "nextword.quantisation": 0,
    "nextword.recompute": 0,
    "nextword.records": 0,
    "nextword.reviews": 0,
    "nextword.sentiment": 0,
    "nextword.sparse": 0,
    "nextword.squad_metrics": 0,
    "nextword.storage": 0,
    "nextword.telling": 0,
    "nextword.town_words": 0,
    "nextword.attention": 1,
    "nextword.batches": 1,
    "nextword.checkpoints": 1,
    "nextword.corpora": 1,
    "nextword.diagrams": 1,
    "nextword.downloads": 1,
    "nextword.layers": 1,
    "nextword.masking": 1,
    "nextword.muon": 1,
    "nextword.positions": 1,
    "nextword.search": 1,
    "nextword.tokenizer": 1,
    "nextword.town": 1,
    "nextword.blocks": 2,
    "nextword.hallucination": 2,
    "nextword.induction": 2,
    "nextword.prompting": 2,
    "nextword.public_data": 2,
    "nextword.speed_gpt": 2,
    "nextword.town_chinese": 2,
    "nextword.town_score": 2,
    "nextword.training": 2,
    "nextword.words": 2,
    "nextword.costs": 3,
    "nextword.speedrun": 3,
    "nextword.stories": 3,
    "nextword.transformer": 3,
    "nextword.wordpiece": 3,
    "nextword.dpsgd": 4,
    "nextword.flat": 4,
    "nextword.gaps": 4,
    "nextword.hub_tokenizers": 4,
    "nextword.instructions": 4,
    "nextword.patching": 4,
    "nextword.planted": 4,
    "nextword.pretrained": 4,
    "nextword.scaling": 4,
    "nextword.town_questions": 4,
    "nextword.town_tasks": 4,
    "nextword.weights": 4,
    "nextword.candidates": 5,
    "nextword.generation": 5,
    "nextword.hub_forms": 5,
    "nextword.preferences": 5,
    "nextword.privacy": 5,
    "nextword.probing": 5,
    "nextword.tasks": 5,
    "nextword.evaluation": 6,
    "nextword.filling": 6,
    "nextword.finetuning": 6,
    "nextword.hub": 6,
    "nextword.hub_reading": 6,
    "nextword.leaking": 6,
    "nextword.pretraining": 6,
    "nextword.sentences": 6,
    "nextword.skew": 6,
    "nextword.speculative": 6,
    "nextword.translation": 6,
    "nextword.unseen": 6,
    "nextword.alignment": 7,
    "nextword.answering": 7,
    "nextword.classifiers": 7,
    "nextword.distillation": 7,
    "nextword.review_models": 7,
    "nextword.spans": 7,
    "nextword.transfer": 7,
    "nextword.exercises": 8,
    "nextword.hub_training": 8,
    "nextword.recipes": 8,
    "nextword.town_spans": 8,
    "nextword.commands": 9,
    "nextword.cli": 10,
    "nextword.__main__": 11,
}


def floor(module):
    """The floor of a module; all modules of ``exercises`` share one."""
    return FLOORS[".".join(module.split(".")[:2])]


def library_modules():
    package = notebooks.ROOT / "nextword"
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(notebooks.ROOT).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def test_modules_import_only_from_floors_below():
    for module, path in library_modules():
        if module == "nextword":
            continue
        for imported in notebooks.imported_modules(path.read_text("utf-8")):
            if imported == "nextword":
                continue
            same_package = module.split(".")[:2] == imported.split(".")[:2]
            assert same_package or floor(imported) < floor(module), (
                f"{module} imports {imported}"
            )


def test_every_module_has_a_floor():
    modules = {".".join(m.split(".")[:2]) for m, _ in library_modules()}
    assert modules - {"nextword"} == FLOORS.keys()


@pytest.mark.parametrize("module", pages.TAUGHT)
def test_every_taught_definition_has_exactly_one_home(module):
    homes = pages.homes()
    for name in pages.public_definitions(module):
        chapters = homes.get((module, name), [])
        assert len(chapters) == 1, f"{module}.{name} is shown in {chapters}"


@pytest.mark.parametrize("module", pages.TAUGHT)
def test_the_docstring_of_a_module_names_its_home(module):
    docstring = ast.get_docstring(
        ast.parse(notebooks.module_path(module).read_text("utf-8"))
    )
    for path in {
        p
        for (m, _), paths in pages.homes().items()
        for p in paths
        if m == module
    }:
        assert f"notebooks/{path.name}" in docstring


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda p: p.stem)
def test_a_chapter_imports_nothing_that_hides_what_it_shows(path):
    """What the reader edits in a cell is what the cells below it run."""
    notebook = notebooks.read(path)
    shown = {}
    for cell in notebooks.code_cells(notebook):
        if found := sync.shown(cell.source):
            file, name = found
            module = file.removesuffix(".py").replace("/", ".")
            shown.setdefault(module, set()).add(name)
    direct = notebooks.chapter_imports(notebook)
    for module, names in shown.items():
        for imported in direct - {module}:
            assert module not in notebooks.imported_closure({imported}), (
                f"{imported} imports {module}, whose home is {path.name}"
            )
        for cell in notebooks.code_cells(notebook):
            for node in ast.walk(ast.parse(notebooks.python_source(cell))):
                if isinstance(node, ast.ImportFrom) and node.module == module:
                    assert not names & {alias.name for alias in node.names}
                if isinstance(node, ast.Import):
                    assert module not in {alias.name for alias in node.names}


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda p: p.stem)
def test_an_unmarked_cell_defines_no_name_of_the_library(path):
    taught = {
        name
        for module in pages.TAUGHT
        for name in pages.public_definitions(module)
    }
    for cell in notebooks.code_cells(notebooks.read(path)):
        tree = ast.parse(notebooks.python_source(cell))
        defined = [
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]
        if sync.shown(cell.source):
            assert len(tree.body) == 1, f"one definition a cell:\n{cell.source}"
        elif "exercise" not in notebooks.tags(cell):
            assert not taught & set(defined), f"mark this cell:\n{cell.source}"
        else:
            assert not taught & set(defined), (
                f"rename the exercise:\n{cell.source}"
            )


def test_the_table_of_the_design_names_no_missing_file():
    text = (notebooks.ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = {
        (int(floor), f"nextword.{module}")
        for floor, module in re.findall(
            r"^\| (\d+) \| `(\w+)/?` \|", text, re.M
        )
    }
    assert table == {(floor, module) for module, floor in FLOORS.items()}
