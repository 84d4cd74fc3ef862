"""Text files of strangers, whatever is in them: one line that names the file, and exit 1 or 2."""

import copy
import json
import shutil
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_objects import FLAGS

from eval.manifest import ManifestError, load_split
from eval.parsing import MOST_SETTINGS, read_json, read_toml, read_yaml
from eval.yolo import load_yolo

PARSERS = "input: a text file that starves or breaks its parser"
STATES = "input: a state of a run with missing, extra or other values"

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
BROKEN = {
    "empty": b"",
    "zeros": b"\0" * 4096,
    "no utf-8": b"\xff\xfe\x00\xd8",
    "a mark": b"\xef\xbb\xbf\xef\xbb\xbf\x1b[2J",
    "deep lists": b"[" * 200_000,
    "deep and closed": b"[" * 5000 + b"]" * 5000,
    "deep objects": b'{"a":' * 100_000,
    "deep tables": b"a = " + b"[" * 50_000 + b"]" * 50_000,
    "deep keys": b".".join([b"a"] * 50_000) + b" = 1",
    "deep yaml": b"".join(b" " * i + b"a:\n" for i in range(900)),
    "flow yaml": b"names: " + b"[" * 3000,
    "aliases": BOMB.encode() + b"names: *i\n",
    "digits": b"1" * 5000,
    "a number": b"a = " + b"9" * 5000,
    "json number": b'{"images": ' + b"9" * 5000 + b"}",
    "a line": b"x" * 3_000_000,
    "a list": b"[]",
    "null": b"null",
    "a text": b'"\\ud800"',
    "nan": b"nan,nan nan nan nan\n" * 3,
    "binary": bytes(range(256)) * 8,
}


@pytest.fixture
def world(tmp_path, trained):
    """One good file of every kind, by name, and the command that reads it."""
    home = tmp_path / "world"
    split = home / "data" / "test"
    split.mkdir(parents=True)
    texts = {"image_ids": "", "class_labels": ",0", "image_sizes": ",64,48"}
    for name, rest in (texts | {"localization": ",12,8,43,35"}).items():
        (split / f"{name}.txt").write_text(f"a.png{rest}")
    Image.new("RGB", (64, 48)).save(home / "a.png")
    (home / "data" / "classes.csv").write_text("label,imagenet1k_index,name\n0,1,blue box\n")
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [12, 8, 32, 28]}],
        "categories": [{"id": 3, "name": "blue box"}],
    }
    (home / "coco.json").write_text(json.dumps(coco))
    (home / "yolo" / "labels").mkdir(parents=True)
    (home / "yolo" / "images").mkdir()
    shutil.copy(home / "a.png", home / "yolo" / "images")
    (home / "yolo" / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (home / "yolo" / "data.yaml").write_text("names:\n  0: blue box\n")
    (home / "mine.toml").write_text('base = "wsoleval"\nlevels = 100\n')
    (home / "recipe.toml").write_text("epochs = 1\n")
    (home / "expect.toml").write_text(
        '[[expected]]\nmodel = "a"\nscore = "top1_cls"\nvalue = 1\ntolerance = 1\n'
    )
    (home / "shapes.toml").write_text(
        'name = "shapes"\nbase = "finetune"\n[[models]]\nname = "none"\n'
    )
    (home / "list.txt").write_text("a.png\n")
    run = trained[0]
    data, out = home / "data", home / "out"
    evaluate = ("evaluate", data, "--root", home, "--checkpoint", run)
    calibrate = ("calibrate", run, "--boxes", home / "yolo", "--out", out / "w.safetensors")
    return home, {
        **{f"data/test/{name}.txt": ("manifest", "check", data) for name in texts},
        "data/test/localization.txt": ("manifest", "check", data),
        "data/classes.csv": (*evaluate, "--classes", data / "classes.csv"),
        "coco.json": ("manifest", "check", home / "coco.json"),
        "yolo/labels/a.txt": calibrate,
        "yolo/data.yaml": calibrate,
        "mine.toml": (*evaluate, "--protocol", home / "mine.toml"),
        "recipe.toml": ("train", home, "--recipe", home / "recipe.toml", "--out", out),
        "expect.toml": ("benchmark", data, "--root", home, "--run", f"a={run}", "--expect",
                        home / "expect.toml"),
        "shapes.toml": ("reproduce", home / "shapes.toml", "--data", data, "--out", out),
        "list.txt": ("predict", home / "list.txt", "--checkpoint", run),
    }  # fmt: skip


def check_answer(answer, *names):
    """One line that says what is wrong, and where."""
    code, _, err = answer
    last = err.splitlines()[-1]
    assert code in (1, 2), err
    assert "Traceback" not in err
    assert "Error: unexpected" not in last, last
    assert any(name in err for name in names), err
    assert len(last) < 5000
    assert last.startswith("Error: ") or last.endswith("could not be read"), last
    assert not set(last) & set("\0\x1b\ufffe")


@pytest.mark.slow
@pytest.mark.fault(PARSERS)
def test_files_that_are_something_else(run, world, record_property):
    home, commands = world
    tried = 0
    for name, command in commands.items():
        good = (home / name).read_bytes()
        for what, content in BROKEN.items():
            if (name, what) in GOOD or (name.endswith(".txt") and what == "digits"):
                continue
            (home / name).write_bytes(content)
            try:
                check_answer(run(*command), Path(name).name, "world/yolo: ", f"{home}/")
            except (AssertionError, UnicodeDecodeError) as error:
                raise AssertionError(f"{name}: {what}") from error
            tried += 1
        (home / name).write_bytes(good)
    record_property("tried", tried)


# An empty file leaves everything as it is by default, or says that there are no boxes.
GOOD = {
    ("mine.toml", "empty"),
    ("recipe.toml", "empty"),
    ("data/test/image_sizes.txt", "empty"),
    ("data/test/localization.txt", "empty"),
}


@pytest.mark.fault(PARSERS)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("yolo/labels/a.txt", f"{2**70} 0.5 0.5 0.5 0.5"),
        ("yolo/labels/a.txt", "1000000001 0.5 0.5 0.5 0.5"),
        ("yolo/labels/a.txt", f"{'9' * 5000} 0.5 0.5 0.5 0.5"),
        ("yolo/labels/a.txt", "0 nan 0.5 0.5 0.5"),
        ("yolo/labels/a.txt", "0 0.5 0.5 inf 1e999"),
        ("yolo/data.yaml", "names: {0: a, b: c}"),
        ("yolo/data.yaml", "names: [[[]]]"),
        ("yolo/data.yaml", 'names: ["\\ud800"]'),
        ("yolo/data.yaml", "names: !!python/object/apply:os.system [ls]"),
        ("yolo/data.yaml", "names: 2020-99-99"),
        ("yolo/data.yaml", f"names: [{'9' * 5000}]"),
        ("data/test/class_labels.txt", "a.png,2147483647"),
        ("data/test/class_labels.txt", f"a.png,{2**70}"),
        ("data/test/image_ids.txt", "a\0.png"),
        ("data/test/image_sizes.txt", "a.png,nan,1"),
        ("data/classes.csv", f"label,imagenet1k_index\n0,{'9' * 5000}"),
        ("data/classes.csv", "label,imagenet1k_index\n²,1"),
        ("data/classes.csv", "label,imagenet1k_index,name\n0,1,a\0b"),
        ("mine.toml", "base = [1]"),
        ("mine.toml", "name = ['a']"),
        ("mine.toml", "interval = nan"),
        ("mine.toml", "interval = 1e-300"),
        ("mine.toml", "size = 99999999999999999999"),
        ("mine.toml", "image = {a = 1}"),
        ("mine.toml", "threshold = inf"),
        ("recipe.toml", "base = {}"),
        ("recipe.toml", "lr = nan"),
        ("recipe.toml", "epochs = 99999999999999999999999"),
        ("recipe.toml", "drops = [1979-05-27]"),
        ("expect.toml", "expected = 1979-05-27"),
        ("expect.toml", "[[expected]]\nmodel = 1"),
        ("shapes.toml", "name = 'a'\nbase = 'finetune'\nmodels = 1"),
        ("shapes.toml", "name = 'a'\nbase = 'finetune'\nmodels = [{name = 'b', seeds = [-1]}]"),
        ("shapes.toml", "name = 'a'\nbase = 'finetune'\nscoring = {thresholds = [[]]}"),
        ("coco.json", '{"images": [], "annotations": [], "categories": []}'),
    ],
)  # fmt: skip
def test_values_that_fit_nothing(run, world, name, content):
    home, commands = world
    (home / name).write_text(content)
    check_answer(run(*commands[name]), Path(name).name, "Expected", "expected")


HOSTILE = (
    None, [], {}, "x", "\ud800", "a\0b", -1, 0.5, 1e999, float("nan"), 2**70, 10**400, True,
    [[]], {"a": []},
)  # fmt: skip


def mutate(content, path=()):
    """Give a content with one value in it missing, or something else."""
    node = content
    for key in path:
        node = node[key]
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in list(keys)[:12]:
        for value in HOSTILE:
            changed = copy.deepcopy(content)
            inner = changed
            for each in path:
                inner = inner[each]
            inner[key] = value
            yield (*path, key, value), changed
        changed = copy.deepcopy(content)
        inner = changed
        for each in path:
            inner = inner[each]
        del inner[key]
        yield (*path, key), changed
        if isinstance(node[key], (dict, list)) and node[key] and len(path) < 3:
            yield from mutate(content, (*path, key))


@pytest.mark.fault(PARSERS)
def test_coco_files(tmp_path, world, record_property):
    """Every record with every value missing, or something else: read, or refused in a sentence."""
    home, _ = world
    content = json.loads((home / "coco.json").read_text())
    refused = 0
    for what, changed in mutate(content):
        (home / "coco.json").write_text(json.dumps(changed))
        split, error = None, ""
        try:
            split = load_split(home / "coco.json")
        except ManifestError as fault:
            error = str(fault)
        refused += split is None
        assert split is not None or "coco.json" in error, what
        names = () if split is None else (*split.ids, *split.class_names)
        assert all(name.encode("utf-8") for name in names), what
    assert refused > 150
    record_property("tried", refused)


@pytest.mark.slow
@pytest.mark.fault(STATES)
def test_results_that_are_compared(run, world, tmp_path, record_property):
    home, _ = world
    command = ("evaluate", home / "data", "--root", home, "--checkpoint")
    out = tmp_path / "good"
    code, _, err = run(*command, run_folder(world), "--class-map", "predicted", "--out", out)
    assert code == 0, err
    tried = 0
    for name in ("scores.json", "images.jsonl", "names.json", "settings.json"):
        path = tmp_path / "bad" / name
        shutil.rmtree(path.parent, ignore_errors=True)
        shutil.copytree(out, path.parent)
        every = mutate(json.loads(path.read_text()))
        for what, changed in islice(every, 0, None, 7):  # all of them take minutes
            path.write_text(json.dumps(changed) + "\n")
            code, _, err = run("compare", out, path.parent)
            assert code in (0, 1, 2), (name, what)
            assert "Traceback" not in err, (name, what)
            assert "unexpected" not in err, (name, what, err)
            assert (code == 0) == (err == ""), (name, what, err)
            tried += 1
        for what in ("deep lists", "deep objects", "no utf-8", "a list", "zeros", "json number"):
            path.write_bytes(BROKEN[what])
            if name == "settings.json" and what == "a list":
                continue
            code, _, err = run("compare", out, path.parent)
            assert code in (1, 2) or name.startswith(("names", "settings")), (name, what)
            assert "unexpected" not in err, (name, what, err)
    record_property("tried", tried)


def run_folder(world):
    """The run that the commands of a world take."""
    command = world[1]["list.txt"]
    return command[command.index("--checkpoint") + 1]


@pytest.mark.slow
@pytest.mark.fault(STATES)
def test_runs_that_are_gone_on_with(run, objects, trained, tmp_path, record_property):
    """A training's record and state, with other keys and values, and as other files."""
    out = tmp_path / "run"
    shutil.copytree(trained[0], out)
    command = ("train", objects, "--out", out, *FLAGS, "--resume")
    good = (out / "run.json").read_text()
    tried = 0
    for what in ("empty", "deep lists", "no utf-8", "a list", "null", "json number"):
        (out / "run.json").write_bytes(BROKEN[what])
        check_answer(run(*command), "run.json")
        tried += 1
    for change in ({"data_sha256": 1}, {"classes": "\ud800"}, {"result": []},
                   {"result": {"unreadable": 7}}):  # fmt: skip
        (out / "run.json").write_text(json.dumps(json.loads(good) | change))
        check_answer(run(*command), str(out))
        tried += 1
    (out / "run.json").write_text(good)
    state = torch.load(next(out.glob("checkpoints/*/state.pt")), weights_only=True)
    for changed in (
        {}, [], {**state, "extra": 1}, {**state, "count": "x"}, {**state, "state": {}, "count": -1},
        {**state, "state": {**state["state"], "extra": 1}},
        {**state, "state": {**state["state"], "step": "x"}},
        {**state, "state": {**state["state"], "history": [1]}},
        {**state, "state": {**state["state"], "history": [{}]}},
        {**state, "state": {**state["state"], "best": 3}},
        *(
            {**state, "state": {**state["state"], "history": [*map(change, rows)], "best": best}}
            for change in (
                lambda row: {k: v for k, v in row.items() if k != "val_accuracy"},
                lambda row: {k: v for k, v in row.items() if not k.startswith("val_")},
                lambda row: row | {"val_loss": None},
                lambda row: row | {f"val_{row['epoch']}": 1.0},
                lambda row: row | {7: 1.0},
                lambda row: {k: v for k, v in row.items() if k != "step"},
            )
            for rows in [state["state"]["history"]]
            for best in (None, change(rows[-1]))
        ),
        {**state, "state": {**state["state"], "unreadable": None}},
        {**state, "optimizer": {}}, {**state, "optimizer": []},
    ):  # fmt: skip
        for path in out.glob("checkpoints/*/state.pt"):
            torch.save(changed, path)
        check_answer(run(*command), "no checkpoint can be read")
        tried += 1
    record_property("tried", tried)


def test_limits(tmp_path):
    """Little is read of what is too large, and little memory taken by what would grow."""
    path = tmp_path / "a"
    path.write_bytes(b"a = 1\n" + b"#" * MOST_SETTINGS)
    for read in (read_toml, read_yaml):
        with pytest.raises(ManifestError, match="at most 4 MiB of text"):
            read(path)
    path.write_text(BOMB + "names: *i\n")
    tracemalloc.start()
    with pytest.raises(ManifestError, match=r"a:2: expected YAML but aliases are not read"):
        read_yaml(path)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    path.write_text("[" * 10**6)
    with pytest.raises(ManifestError, match="nested too deep"):
        read_json(path)
    path.write_text("names: [a, b]\nx: {y: [1, {z: 2}]}")
    assert read_yaml(path)["x"]["y"][1] == {"z": 2}
    (tmp_path / "yolo").mkdir()
    with pytest.raises(ManifestError):
        load_yolo(tmp_path / "yolo", "test")
