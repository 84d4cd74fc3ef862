import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tdam
import wsol

PACKAGES = {"tdam", "eval", "wsol"}
ALLOWED = {"tdam": {"tdam"}, "eval": {"eval"}, "wsol": PACKAGES}
HOME = Path(wsol.__file__).parent.parent
FILES = [path for package in sorted(PACKAGES) for path in sorted((HOME / package).rglob("*.py"))]


def imports(path):
    """Every module that a file imports: (name, whether by `from`)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module, True


def test_only_what_belongs_to_the_project_is_kept_in_it():
    if not (HOME / ".git").exists():
        pytest.skip("not in a repository")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=HOME, capture_output=True, text=True, check=True
    )
    assert {name.split("/")[0] for name in listed.stdout.splitlines()} == PACKAGES | {
        *(".ci", ".github", ".gitignore", "LICENSE", "README.md"),
        *("data_manifests", "pyproject.toml", "tests"),
    }


def test_files_are_found():
    assert Path(tdam.__file__) in FILES
    assert len(FILES) > 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOME)))
def test_data_flows_one_way(path):
    package = path.relative_to(HOME).parts[0]
    ours = {name.split(".")[0] for name, _ in imports(path)} & PACKAGES
    assert ours <= ALLOWED[package]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOME)))
def test_the_builtin_eval_stays_visible(path):
    assert all(by_from for name, by_from in imports(path) if name.split(".")[0] == "eval")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOME)))
def test_every_file_says_what_it_is_and_stays_short(path):
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 300


@pytest.mark.parametrize(
    "statement", ["import wsol", "import wsol.cli", "import tdam.registry, eval.manifest"]
)
def test_imports_load_no_torch(statement):
    code = f"import sys; {statement}; print([m for m in ('torch', 'cv2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_stray_eval_file_is_named(tmp_path):
    (tmp_path / "eval.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "wsol", "models"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "eval.py hides this project's package" in done.stderr
