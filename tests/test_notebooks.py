"""The notebooks of examples: small, of the photographs that come along, and run again."""

import json
import os
import re
from pathlib import Path

import pytest

import wsol

HOME = Path(wsol.__file__).parent.parent
EXAMPLES = HOME / ".github" / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
IDS = [path.stem for path in NOTEBOOKS]
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="only the packages are here")
LARGEST = 1_500_000  # bytes


def read_texts(notebook):
    """What each cell of code printed and shows as text: no pictures, and nothing of stderr."""
    texts = []
    for cell in notebook["cells"]:
        told = []
        for output in cell.get("outputs", ()):
            if output.get("name") == "stdout":
                told.append(output["text"])
            shown = sorted(output.get("data", {}).items())
            told += [text for kind, text in shown if kind.startswith("text/")]
        texts.append(["".join(text) for text in told])
    return texts


def tell_words_and_numbers(texts):
    """The texts with every number taken out, and the numbers as (value, unit of the last digit)."""
    number = r"\d+(?:\.\d+)?(?:e[-+]?\d+)?"
    words = [[re.sub(number, "#", text) for text in told] for told in texts]
    found = [each for told in texts for text in told for each in re.findall(number, text)]
    return words, [(float(each), 10.0 ** -len(each.partition(".")[2])) for each in found]


def test_both_notebooks_are_here():
    assert IDS == ["attention_and_maps", "boxes"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_a_notebook_is_small_and_kept_as_it_ran(path):
    assert path.stat().st_size < LARGEST
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"execute_result", "stream"}
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert not re.search(r"/(?:root|home|tmp|work)/", json.dumps(read_texts(notebook)))
    first = "".join(notebook["cells"][0]["source"])
    assert "pip install ." in first


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_links_of_a_notebook_lead_somewhere(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    links = re.findall(r"\]\(([^)\s]+)\)", prose)
    assert links
    assert [link for link in links if not (path.parent / link).is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_a_notebook_runs_again_to_the_same_texts(path, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HOME), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    kept = read_texts(notebook)
    assert sum(map(len, kept)) > 8
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    # processors and memory layouts differ in a network's last digits, which may move a pixel
    (words, numbers), (kept_words, kept_numbers) = map(
        tell_words_and_numbers, (read_texts(notebook), kept)
    )
    assert words == kept_words
    apart = [
        (new, old)
        for (new, _), (old, unit) in zip(numbers, kept_numbers, strict=True)
        if abs(new - old) > max(0.01 * abs(old), 2 * unit)
    ]
    assert apart == []
