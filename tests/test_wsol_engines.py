"""Engines without a cluster: sources, parts, and what is refused."""

import json
import sys
from itertools import chain

import pytest
from killed_predictions import fill

from tdam.strict_json import dumps
from wsol.engines.addresses import fetch_images, list_images
from wsol.engines.parts import Parts
from wsol.images import SourceError
from wsol.out_folders import OutputError
from wsol.prediction import predict


def records(names, bad=()):
    row = {"label": 1, "name": "dog", "score": 0.1, "step_scores": [0.3, 0.1]}
    row |= {"boxes": [[0.5, 1.0, 8.25, 9.0]], "box_scores": [0.0625]}
    whole = {"width": 9, "height": 10, "predictions": [row]}
    return [{"file": n, **({"error": "no such file"} if n in bad else whole)} for n in names]


@pytest.fixture
def parts(tmp_path):
    def make(count=10, kinds=("jsonl",), **settings):
        images = {f"{i}.jpg": "1" for i in range(count)}
        return Parts(tmp_path, images, kinds, {"weights": "a", **settings}, batch=1)

    return make


def write(parts, number, bad=()):
    each = records(parts.names[parts.rows(number)], bad)
    parts.write(number, [dumps(record) for record in each])
    return each


@pytest.mark.parametrize("kinds", [("jsonl",), ("parquet",), ("parquet", "jsonl")])
def test_parts_that_are_there_stay_and_others_are_missing(parts, tmp_path, kinds):
    if "parquet" in kinds:
        parquet = pytest.importorskip("pyarrow.parquet")
    first = parts(kinds=kinds)
    first.begin()
    assert first.missing() == [0, 1, 2]
    for number in (2, 0):
        write(first, number, bad={"9.jpg"})
    again = parts(kinds=kinds)
    again.resume()
    assert (again.missing(), again.done, again.failed) == ([1], 6, 1)
    path = tmp_path / f"part-00000.{kinds[-1]}"
    path.write_bytes(path.read_bytes()[:-20])
    again.resume()
    assert (again.missing(), again.done) == ([0, 1], 2)
    expected = [write(again, 0), write(again, 1), write(again, 2, bad={"9.jpg"})]
    if "jsonl" in kinds:
        files = sorted(tmp_path.glob("*.jsonl"))
        lines = "".join(path.read_text() for path in files).splitlines()
        assert [json.loads(line) for line in lines] == list(chain(*expected))
    if "parquet" in kinds:
        files = sorted(tmp_path.glob("*.parquet"))
        rows = [row for path in files for row in parquet.read_table(path).to_pylist()]
        told = [{k: v for k, v in row.items() if v is not None} for row in rows]
        assert told == list(chain(*expected))


def test_parts_of_another_run_are_refused(parts):
    parts().begin()
    for other in (parts(weights="b"), parts(count=9), parts(topk=3)):
        with pytest.raises(OutputError, match="cannot go on, since other now are: "):
            other.resume()


def test_few_parts_hold_many_images_and_batches_stay_whole(tmp_path):
    for count, batch in ((300, 16), (999, 1), (20_001, 3)):
        many = Parts(tmp_path, dict.fromkeys(map(str, range(count)), ""), ["jsonl"], {}, batch)
        assert many.size % batch == 0
        assert many.size >= 4 * batch
        assert 1 <= len(many.missing()) <= 1000
        assert many.rows(many.missing()[-1]).stop == count


def test_a_name_that_is_no_text_is_written_as_people_see_it(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    parts = Parts(tmp_path, {"caf\udce9.jpg": ""}, ["parquet", "jsonl"], {}, batch=1)
    parts.begin()
    write(parts, 0)
    assert parquet.read_table(tmp_path / "part-00000.parquet")["file"].to_pylist() == [
        r"caf\xe9.jpg"
    ]
    line = json.loads((tmp_path / "part-00000.jsonl").read_text())
    assert line["file"] == "caf\udce9.jpg"
    assert parts.count_whole() == 1


def test_addresses_follow_the_rule_of_local_images(tmp_path):
    images = fill(tmp_path / "in", 4)
    for name in ("a/.hidden.png", "a/notes.md", "b/@eaDir/x.png", ".cache/y.png", "b/z.heic"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes(b"x")
    (images / "b" / ".wsol-files").write_text('"00001.png"\n')
    local = list_images(str(images))
    assert len(local) == 3
    assert list_images(images.as_uri()) == local
    far = list_images(f"local://{images}")
    assert [name.removeprefix("file://") for name in far] == list(local)
    assert all(far.values())
    below = [name for name in far if name.endswith(".png")]
    assert list(list_images(f"local://{images}/*/*.png")) == below
    listed = tmp_path / "list.txt"
    listed.write_text(f"local://{images}/a/00000.jpg\n\nin/a/00001.png\nlocal:///no/where.png\n")
    names = list(list_images(listed))
    assert names[0].startswith("local://")
    assert names[1] == str(images / "a" / "00001.png")
    copies = list(fetch_images(names, tmp_path, 2, 2))
    assert copies[0].read_bytes() == (images / "a" / "00000.jpg").read_bytes()
    assert copies[1] == images / "a" / "00001.png"
    assert not copies[2].exists()


@pytest.mark.parametrize("source", ["local:///no/where", "nothing://x", "local:///no/*.png"])
def test_an_address_without_images_is_refused(source):
    with pytest.raises(SourceError, match=r"no such file|not known|no images"):
        list_images(source)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--format", "coco"), "--format"),
        (("--save-images",), "--save-images"),
        (("--sort", "uncertain"), "--sort"),
        (("--confidence",), "--confidence"),
    ],
)
def test_what_an_engine_does_not_do_is_refused(run, tmp_path, flags, told):
    code, _, err = run("predict", tmp_path, "--engine", "ray", "--out", tmp_path / "out", *flags)
    assert code == 2
    assert told in err
    assert not (tmp_path / "out").exists()


def test_without_ray_one_line_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, out, err = run("predict", tmp_path, "--engine", "ray", "--out", tmp_path / "out")
    assert (code, out) == (1, "")
    assert err.startswith("Error: engine ray needs Ray")
    assert 'pip install "ray[data]' in err
    assert err.count("\n") == 1
    with pytest.raises(ValueError, match="Expected engine to be ray but got 'spark'"):
        predict("resnet18", tmp_path, engine="spark")
