import ast
import subprocess
import sys
from pathlib import Path

import pytest

import wsol

PACKAGES = {"tdam", "eval", "wsol"}
ALLOWED = {"tdam": {"tdam"}, "eval": {"eval"}, "wsol": PACKAGES}
LONGEST = 120  # lines of a function, signature and docstring included
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


def test_data_flows_one_way_and_every_file_says_what_it_is():
    faults = []
    for path in FILES:
        name, text = str(path.relative_to(HOME)), path.read_text(encoding="utf-8")
        package = path.relative_to(HOME).parts[0]
        imported = [(module.split(".")[0], by_from) for module, by_from in imports(path)]
        if not {module for module, _ in imported} & PACKAGES <= ALLOWED[package]:
            faults.append(f"{name} imports a package that it must not know")
        if ("eval", False) in imported:
            faults.append(f"{name}: `import eval` hides the builtin")
        tree = ast.parse(text)
        if not ast.get_docstring(tree):
            faults.append(f"{name} does not say what it is")
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONGEST:
                    faults.append(f"{name}: {node.name} has {length} lines, over {LONGEST}")
    assert faults == []
    assert {path.relative_to(HOME).parts[0] for path in FILES} == PACKAGES


@pytest.mark.parametrize(
    "statement",
    [
        *("import wsol", "import wsol.cli", "import tdam.registry, eval.manifest"),
        "import wsol.benchmarking.experiment_names as e; e.list_experiments()",  # at a Tab
    ],
)
def test_imports_load_nothing_that_takes_long(statement):
    slow = ("torch", "cv2", "numba", "scipy", "skimage", "matplotlib", "timm")
    code = f"import sys; {statement}; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_stray_eval_file_is_named(tmp_path):
    (tmp_path / "eval.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "wsol", "models"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "eval.py hides this project's package" in done.stderr
