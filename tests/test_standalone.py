"""A notebook alone, in an empty folder, installs what it needs and runs."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import nextword
from tools import notebooks

ADDRESS = "https://github.com/nextword-course/nextword"
WHERE = "import torch, numpy; print(torch.__file__, numpy.__file__)"
NEWCOMERS = [
    path for path in notebooks.paths() if path.name[:2] in ("03", "04")
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """An environment with Jupyter and torch but without the library.

    This is what a Colab runtime is. The repository's address leads to a clone
    of this checkout, tagged with the library's version.
    """
    if not (notebooks.ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("needs git and a checkout")
    folder = tmp_path_factory.mktemp("machine")
    git = ["git", "-C", str(folder / "clone")]
    subprocess.run(
        ["git", "clone", "-q", str(notebooks.ROOT), str(folder / "clone")],
        check=True,
    )
    subprocess.run([*git, "tag", "-f", f"v{nextword.__version__}"], check=True)
    venv.create(folder / "venv", with_pip=True)
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    # The other environment's packages, but not its editable nextword.
    site = subprocess.run(
        [
            python,
            "-c",
            "import sysconfig; print(sysconfig.get_path('purelib'))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    Path(site, "others.pth").write_text(sysconfig.get_path("purelib"))
    environment = {
        **os.environ,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{(folder / 'clone').as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
        "NEXTWORD_HOME": str(folder / "home"),
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "VIRTUAL_ENV": str(folder / "venv"),
    }
    environment.pop("PYTHONPATH", None)
    return python, environment


def run(machine, code, folder):
    python, environment = machine
    return subprocess.run(
        [python, "-c", code],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_the_machine_has_torch_but_not_the_library(machine, tmp_path):
    assert run(machine, "import torch, IPython", tmp_path).returncode == 0
    without = run(machine, "import nextword", tmp_path)
    assert "No module named 'nextword'" in without.stderr


@pytest.mark.parametrize("path", NEWCOMERS, ids=lambda path: path.stem)
def test_a_notebook_alone_runs_to_the_end(machine, path, tmp_path):
    shutil.copy(path, tmp_path)
    before = run(machine, WHERE, tmp_path)
    notebook = nbformat.read(tmp_path / path.name, as_version=4)
    python, environment = machine
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = str(python)
    client.execute(env=environment)
    cells = notebooks.code_cells(notebook)
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    after = run(machine, WHERE, tmp_path)
    assert before.stdout == after.stdout, "torch or numpy was installed anew"
    where = run(machine, "import nextword; print(nextword.__file__)", tmp_path)
    assert str(Path(python).parent.parent) in where.stdout


def test_the_suite_itself_runs_on_the_checkout():
    assert Path(nextword.__file__).parent.parent == notebooks.ROOT
    assert sys.prefix != sys.base_prefix
