"""The README and the pages: links, tables of names, commands and flags, and tables of results."""

import csv
import inspect
import re
import shlex
import tomllib
from functools import partial
from pathlib import Path

import pytest
import typer
import yaml

import wsol
from eval.metrics.failures import KINDS
from eval.protocols import PROTOCOLS, find_protocol
from tdam.registry import MODELS
from tdam.training.recipe import list_recipes
from wsol import prediction
from wsol.benchmarking.expected import load_expected
from wsol.benchmarking.experiment_files import load_experiment
from wsol.benchmarking.experiment_names import list_experiments
from wsol.cli import app
from wsol.maps import METHODS
from wsol.writers import WRITERS

HOME = Path(wsol.__file__).parent.parent
IN_PROJECT = (HOME / "pyproject.toml").is_file()
pytestmark = pytest.mark.skipif(not IN_PROJECT, reason="only the packages are here, not the pages")
FOLDERS = (".github", "data_manifests", "eval", "tdam", "wsol")
PAGES = [
    HOME / "README.md",
    *(page for name in FOLDERS for page in sorted((HOME / name).rglob("*.md")) if IN_PROJECT),
]
NAMES = [str(path.relative_to(HOME)) for path in PAGES]
DATA_SETS = [path.parent.name for path in (HOME / "data_manifests").glob("*/manifest.toml")]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
DECIMAL = re.compile(r"\d+\.\d+")


def read(name):
    return (HOME / name).read_text(encoding="utf-8")


def blocks_of(name, language):
    """The fenced blocks in a language."""
    every = re.findall(r"^```(\w*)\n(.*?)^```$", read(name), re.DOTALL | re.MULTILINE)
    return [text for each, text in every if each == language]


def section(name, title):
    """The prose below a heading, up to the next one of its level or above."""
    text = CODE.sub("", read(name))
    heading = rf"^(#+) {re.escape(title)}\n(.*)"
    level, rest = re.search(heading, text, re.DOTALL | re.MULTILINE).groups()
    return re.split(rf"^#{{1,{len(level)}}} ", rest, flags=re.MULTILINE)[0]


def first_column(text, head):
    """The names in backticks in the first column of the table with this head."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {head} |"):
            break
    assert next(lines).startswith("|--")
    cells = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells += re.findall(r"`([^`]+)`", line.split("|")[1])
    return cells


def slug(title):
    """The anchor of a heading."""
    text = re.sub(r"[^\w\- ]", "", title.replace("`", "").strip().lower())
    return text.replace(" ", "-")


def anchors(path):
    found = []
    for title in re.findall(r"^#+ (.+)$", CODE.sub("", path.read_text(encoding="utf-8")), re.M):
        name = slug(title)
        found.append(name if name not in found else f"{name}-{found.count(name)}")
    return found


def test_the_readme_is_short():
    assert len(read("README.md").splitlines()) <= 250


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    path = HOME / name
    faults = []
    for link in LINK.findall(CODE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"https?://", link):
            continue
        place, _, anchor = link.partition("#")
        target = path if not place else (path.parent / place).resolve()
        if (
            not target.exists()
            or not target.is_relative_to(HOME)
            or (anchor and anchor not in anchors(target))
        ):
            faults.append(link)
    assert faults == []


@pytest.mark.parametrize(
    ("page", "title", "head", "names"),
    [
        ("README.md", "You have labelled images and want boxes", "`--format`", WRITERS),
        (
            "README.md",
            "You want numbers that can be trusted",
            "protocol",
            [*PROTOCOLS, "mine.toml"],
        ),
        ("README.md", "You have a heat map and want a box", "method", METHODS),
        ("data_manifests/README.md", "Data sets that come along", "data set", DATA_SETS),
        ("eval/README.md", "Protocols", "protocol", PROTOCOLS),
        ("eval/README.md", "Why a box misses", "kind", KINDS[1:]),
        ("tdam/README.md", "Networks", "network", MODELS),
        ("tdam/training/README.md", "Recipes", "recipe", list_recipes()),
        ("wsol/writers/README.md", "Output formats", "format", WRITERS),
    ],
)
def test_tables_have_the_names_of_the_registries(page, title, head, names):
    assert sorted(first_column(section(page, title), head)) == sorted(names)


def test_the_table_of_formats_tells_each_one_how_a_box_is_written():
    told = first_column(section("wsol/writers/README.md", "What the numbers mean"), "format")
    assert sorted(told) == sorted(set(WRITERS) - {"npy"})  # has no boxes


def test_the_table_of_networks_says_what_each_one_takes():
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| (.+) \|$", section("tdam/README.md", "Networks"), re.M
    )
    assert rows == [(spec.name, spec.method, spec.pretrained) for spec in MODELS.values()]


def test_every_experiment_has_a_card_and_a_place_in_the_overview():
    cards = {path.stem for path in (HOME / "wsol" / "experiments").glob("*.md")} - {"README"}
    assert cards == set(list_experiments())
    overview = read("wsol/experiments/README.md")
    assert all(f"]({name}.md)" in overview for name in cards)


def commands():
    """Every command with its flags, those of commands inside a group too."""
    group = typer.main.get_command(app)
    found = {}

    def add(name, command):
        flags = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)}
        found[name] = flags | {"--help", "-h"}
        for below, each in getattr(command, "commands", {}).items():
            add(f"{name} {below}", each)

    add("wsol", group)
    return found


COMMANDS = commands()


def test_the_readme_names_every_command():
    told = first_column(section("README.md", "Commands"), "command")
    assert sorted(told) == sorted(name for name in COMMANDS if name.count(" ") == 1)


def calls_of(name):
    """Every call of `wsol` in a page, in blocks of a shell and in its prose."""
    for block in blocks_of(name, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            call = re.search(r"(?:^|/|-m |\s)(wsol .*)$", line.split("  #")[0])
            if call:
                yield call[1]
    for code in re.findall(r"`(wsol [^`]+)`", CODE.sub("", read(name))):
        yield " ".join(code.split())


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_flags_exist(name):
    for line in calls_of(name):
        words = shlex.split(line)
        command = "wsol"
        for word in words[1:]:
            if f"{command} {word}" not in COMMANDS:
                break
            command = f"{command} {word}"
        assert command != "wsol" or words[1] in ("--help", "--install-completion"), line
        flags = {word.split("=")[0] for word in words if word.startswith("--")}
        assert flags <= COMMANDS[command], line


@pytest.mark.parametrize("name", NAMES)
def test_python_in_the_pages_can_be_read(name):
    for block in blocks_of(name, "python"):
        compile(block, name, "exec")


def test_files_shown_as_ones_own_can_be_read(tmp_path):
    def write(page, number=0):
        path = tmp_path / "mine.toml"
        path.write_text(blocks_of(page, "toml")[number], encoding="utf-8")
        return path

    assert find_protocol(str(write("eval/README.md"))).name == "mine"
    assert load_expected(write("wsol/benchmarking/README.md"))
    experiment = load_experiment(str(write("wsol/benchmarking/README.md", 1)))
    assert [entry.name for entry in experiment.models] == [
        "none",
        "tdam_joint",
        "as_it_was",
        "published",
    ]


def tables_of(name):
    """What a card has between the marks."""
    begin = f"<!-- tables: wsol reproduce {name} --recorded -->\n\n"
    text = read(f"wsol/experiments/{name}.md")
    assert (text.count(begin), text.count("<!-- ")) == (1, 2)
    return text.split(begin)[1].split("\n<!-- end -->\n")[0]


# The others wait for somebody who has their data.
RECORDED = [name for name in list_experiments() if load_experiment(name).record.is_file()]


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDED)
def test_the_tables_of_a_card_are_those_of_its_record(name, run, tmp_path):
    code, _, told = run("reproduce", name, "--recorded", "--out", tmp_path / "out")
    assert code == 0, told
    title, tables = (tmp_path / "out" / "table.md").read_text(encoding="utf-8").split("\n\n", 1)
    assert title == f"# Experiment {name}"
    assert tables_of(name) == tables
    if name == "imagenet10_lite0":
        with (tmp_path / "out" / "table.csv").open(newline="") as file:
            check_shipped_card(list(csv.DictReader(file)))


def check_shipped_card(lines):
    """The weights' card has the same scores, a line each."""
    scores = ("top1_loc", "top5_loc", "gt_known_loc", "max_box_acc", "max_box_acc_v2", "top1_cls")
    values = {(e["model"], e["method"], e["threshold"], e["score"]): e for e in lines}

    def mean(score, *where):
        return f"{float(values[*where, score]['mean']):.1f}"

    def gap(score, *where):
        each = values[*where, score]
        points, low, high = (
            float(each[key]) for key in ("difference", "difference95 low", "difference95 high")
        )
        return f"{points:+.1f} ({low:+.1f} to {high:+.1f})"

    wanted = []
    for method, title in (("gradcampp", "Grad-CAM++"), ("cam", "CAM")):
        for model, who in (("imagenet", "plain"), ("imagenet_tdam", "this")):
            cells = [mean(score, model, method, "val") for score in scores]
            wanted.append([f"{who}, {title}, threshold of val", *cells])
        wanted.append(
            ["difference", *(gap(score, "imagenet_tdam", method, "val") for score in scores)]
        )
        at = [gap(score, "imagenet_tdam", method, "0.2") for score in scores[:3]]
        wanted.append(["difference at 0.2", *at, "", "", ""])
    rows = section("tdam/shipped/efficientnet_lite0_tdam.md", "Scores").splitlines()
    told = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows if row[:1] == "|"]
    assert told[2:] == wanted


def test_results_told_in_short_are_in_the_tables():
    assert [
        *("cub10_lite0", "imagenet10_lite0", "imagenet10_resnet50"),
        *("tiny200_resnet18", "tiny200_resnet50"),
    ] == RECORDED
    tables = "".join(map(tables_of, RECORDED))
    known = set(DECIMAL.findall(tables))
    for name, title in (("README.md", "Results"), ("wsol/experiments/README.md", "Results")):
        text = section(name, title)
        told = DECIMAL.findall(text if name == "README.md" else text.split("\n## ")[0])
        assert len(told) > 10
        assert set(told) <= known


def test_the_citation_names_this_version():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    citation = yaml.safe_load(read(".github/CITATION.cff"))
    assert (citation["title"], citation["version"]) == (project["name"], project["version"])
    assert f"\n## {project['version']}\n" in read(".github/CHANGELOG.md")
    assert f"  - name: {re.search(r'Copyright .* (The .*)', read('LICENSE'))[1]}\n" in read(
        ".github/CITATION.cff"
    )


def test_the_page_of_the_package_index_leads_to_no_file_beside_it():
    hook = tomllib.loads(read("pyproject.toml"))["tool"]["hatch"]["metadata"]["hooks"]
    text = given = read("README.md")
    for each in hook["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    assert "![" not in text
    assert "The picture" not in text  # that is gone
    links = re.findall(r"\]\(([^)]+)\)", re.sub(r"(?s)```.*?```|`[^`]*`", "", text))
    assert len(links) > 5
    assert all(link.startswith(("https://", "#")) for link in links)
    code = re.compile(r"(?s)```.*?```")
    assert code.findall(text) == code.findall(given)


def test_the_workflow_runs_the_gate_on_every_python_that_is_promised():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    job = workflow["jobs"]["gate"]
    promised = [text.rpartition(" ")[2] for text in project["classifiers"] if ":: 3." in text]
    assert job["strategy"]["matrix"]["python"] == promised
    assert job["steps"][-1]["run"] == ".ci/run"
    assert "\npython3 -m venv .venv && .venv/bin/pip install -e" in read("README.md")


def test_the_functions_of_the_readme_are_called_as_they_are(monkeypatch):
    """Those of the last block, which stands alone; what a call would take is not done."""
    made, called = {}, []

    def bind(function, *arguments, **named):
        inspect.signature(function).bind(*arguments, **named)
        called.append(function.__name__)

    for name in ("benchmark", "calibrate", "compare", "evaluate", "evaluate_maps", "reproduce",
                 "shift", "train"):  # fmt: skip
        monkeypatch.setattr(wsol, name, partial(bind, getattr(wsol, name)), raising=False)
    monkeypatch.setattr(prediction, "predict", partial(bind, prediction.predict))
    exec(blocks_of("README.md", "python")[-1], made)
    assert len(called) == 9
    (maps,) = made["maps"]
    assert (maps.shape[0], float(maps.min()) >= 0, float(maps.max()) <= 1) == (1, True, True)
