import dataclasses

import numpy as np
import pytest
import torch
from listeners import KillError, Stopper
from small_maps import many, write_maps

from eval.geometry import pairwise_iou, to_edges
from eval.manifest import Split
from eval.protocols import find_protocol
from tdam import create_model
from tdam.preprocessing import Preprocessing
from wsol import Localizer, evaluate, evaluate_maps
from wsol.evaluation.comparison import read_results
from wsol.evaluation.folder_maps import FolderMaps
from wsol.evaluation.map_files import PRECISIONS
from wsol.evaluation.map_source import MapError
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.resume_file import ResumeError
from wsol.evaluation.score_maps import score_maps
from wsol.heatmap import to_heatmap
from wsol.images import read_image
from wsol.maps import find_method


@pytest.fixture
def split(photos):
    """Two photographs, their labels those of a network with two classes."""
    return Split(
        name="test",
        ids=("chelsea.png", "coffee.png"),
        labels=np.array([0, 1]),
        sizes=np.array([[451, 300], [600, 400]]),
        boxes=(np.array([[0, 0, 399, 299]]), np.array([[172, 17, 410, 307]])),
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("efficientnet_lite0", num_classes=2)


def test_the_networks_own_method_makes_the_maps(model, split, photos, tmp_path):
    model.spec = dataclasses.replace(model.spec, method="layercam")
    for method, folder in (("auto", "own"), ("layercam", "layercam"), ("CAM", "cam")):
        options = {} if method == "auto" else {"method": method}
        evaluate(model, split, photos, out=tmp_path / folder, **options)
    own, layercam, cam = (
        (tmp_path / folder / "images.csv").read_text() for folder in ("own", "layercam", "cam")
    )
    assert own == layercam != cam


def test_equal_scores_are_not_all_right(model, split, photos):
    """A classifier that says the same for all classes names the first, as argmax does."""
    torch.nn.init.zeros_(model.classifier.weight)
    torch.nn.init.zeros_(model.classifier.bias)
    result = evaluate(model, split, photos).result
    assert (result.top1_cls, result.top5_cls) == (50, 100)


def test_scores_that_are_not_numbers_are_wrong(model, split, photos):
    torch.nn.init.constant_(model.classifier.bias, torch.nan)
    result = evaluate(model, split, photos).result
    assert result.top1_cls == 0


def test_a_split_may_lack_the_last_classes_of_the_network(model, split, photos):
    outputs = model.settings["num_classes"]
    names = tuple(f"class {index}" for index in range(outputs))
    part = dataclasses.replace(split, labels=np.zeros_like(split.labels), class_names=names)
    assert evaluate(model, part, photos).result.images == 2
    with pytest.raises(ValueError, match=f"{outputs} classes but got {outputs + 1} classes"):
        evaluate(model, dataclasses.replace(part, class_names=("one more", *names)), photos)


def test_an_unreadable_image_is_a_miss_and_named(model, split, photos):
    found = evaluate(model, Split("test", ("gone.png", "coffee.png"), *(
        split.labels, split.sizes, split.boxes)), photos)  # fmt: skip
    assert len(found.unreadable) == 1
    assert found.unreadable[0] == "gone.png: no such file"  # the id: no place of this machine
    assert found.result.images == 2
    assert found.result.max_box_acc <= 50
    assert found.to_dict()["unreadable"] == list(found.unreadable)


def test_the_model_is_left_as_it_was_after_an_exception(model, split, photos):
    model.train()
    stopper = Stopper(1, KeyError("enough"))
    with pytest.raises(KeyError):
        evaluate(model, split, photos, method="layercam", events=stopper)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("method", ["cam", "layercam"])
def test_maps_are_those_of_a_whole_forward_pass(model, split, photos, method):
    """Registered networks give their features themselves; hooks must find the same maps."""
    source = NetworkMaps(model, split, photos, method)
    rules = find_protocol("wsoleval")
    for found in source.read(range(len(split))):
        image = read_image(photos / split.ids[found.row])
        with find_method(method)(model) as extractor:
            scores = model(model.spec.preprocessing(image)[None])
            raw = extractor(found.label, scores, normalized=False)[0][0].numpy()
        wanted = to_heatmap(raw, (224, 224))
        np.testing.assert_allclose(found.heat(rules), wanted, atol=1e-5)
        assert not next(model.parameters()).grad


@pytest.mark.parametrize("method", ["cam", "gradcampp"])
def test_each_step_is_scored_as_the_localizer_finds_it(split, photos, method):
    torch.manual_seed(0)
    model = create_model("resnet18", attention="tdam", steps=3, num_classes=2)
    for module in model.modules():  # fresh norms would make all steps nearly the same
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, 0, 0.5)
    with Localizer(model, method) as localizer:
        paths = [photos / image_id for image_id in split.ids]
        found = localizer(paths, [int(label) for label in split.labels])
    rules = find_protocol("wsoleval")
    seen = {}
    for step in (1, 2, 3, None):
        source = NetworkMaps(model, split, photos, method, step=step)
        seen[step] = [(each.heat(rules), each.score) for each in source.read(range(len(split)))]
    for row in range(2):
        assert not np.allclose(seen[1][row][0], seen[3][row][0], atol=1e-3)
        for step in (1, 2, 3):
            heat, score = seen[step][row]
            wanted = found[row].steps[step - 1]
            np.testing.assert_allclose(heat, to_heatmap(wanted.raw, (224, 224)), atol=1e-4)
            assert score == pytest.approx(wanted.score, abs=1e-5)
        np.testing.assert_allclose(seen[None][row][0], seen[3][row][0], atol=1e-4)
    with pytest.raises(ValueError, match="from 1 to 3 but got 4"):
        evaluate(model, split, photos, step=4)
    with pytest.raises(ValueError, match="got 1 and layer4"):
        evaluate(model, split, photos, step=1, layer="layer4")


def test_batches_do_not_matter(model, split, photos):
    one, two = (evaluate(model, split, photos, batch_size=n).to_dict() for n in (1, 2))
    assert one == two


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"threshold": 2}, "threshold"),
        ({"class_map": "x"}, "class_map"),
        ({"protocol": "x"}, "protocol"),
        ({"classes": {0: 0}}, "class table to have every label"),
        ({"classes": {0: 0, 1: 7}}, "map them by a class table"),
        ({"device": "abacus"}, "device"),
    ],
)
def test_wrong_use(model, split, photos, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(model, split, photos, **options)


@pytest.mark.parametrize(
    "bad",
    [np.full((224, 224), "x"), np.zeros((7, 7)), np.full((224, 224), 2), np.zeros(3, complex)],
)
def test_bad_maps_are_named(split, tmp_path, bad):
    np.save(tmp_path / "chelsea.png.npy", bad)
    np.save(tmp_path / "coffee.png.npy", np.zeros((224, 224)))
    with pytest.raises(ValueError, match=r"chelsea\.png\.npy: expected"):
        evaluate_maps(split, tmp_path)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((28, 28), np.float32), r"float32 \(28, 28\); .*to_heatmap\(raw, \(224, 224\)\)"),
        (np.zeros((7, 9), np.uint8), r"uint8 \(7, 9\); .*to_heatmap\(raw, \(224, 224\)\)"),
        (np.full((224, 224), 2.0), r"in \[0, 1\] but got 2\.0 to 2\.0; .*to_heatmap"),
        (np.full((224, 224), np.nan), r"in \[0, 1\] but got nan to nan\. With"),
    ],
)
def test_a_map_as_stored_is_named_and_the_way_to_a_heat_map(split, tmp_path, bad, said):
    for image_id in split.ids:
        np.save(tmp_path / f"{image_id}.npy", bad)
    with pytest.raises(MapError, match=said):
        evaluate_maps(split, tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K\x01.", b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_arrays_are_named(split, tmp_path, content):
    for image_id in split.ids:
        (tmp_path / f"{image_id}.npy").write_bytes(content)
    with pytest.raises(MapError, match=r"chelsea\.png\.npy: expected an array but") as stop:
        evaluate_maps(split, tmp_path)
    assert "pickle" not in str(stop.value)


def test_maps_of_integers_are_maps(split, tmp_path):
    for image_id in split.ids:
        np.save(tmp_path / f"{image_id}.npy", np.ones((224, 224), dtype=np.int8))
    result = evaluate_maps(split, tmp_path).result
    assert result.max_box_acc == result.baselines["full_image"] == 50  # a map that is 1 everywhere


def test_missing_and_extra_maps(tmp_path):
    data = many(4)
    write_maps(data, tmp_path)
    (tmp_path / "0/3.jpg.npy").rename(tmp_path / "0/4.jpg.npy")
    with pytest.raises(MapError) as stop:
        evaluate_maps(data, tmp_path)
    assert stop.value.faults == [
        f"{tmp_path}/0/3.jpg.npy: expected a map but there is no such file",
        f"{tmp_path}/0/4.jpg.npy: a map of no image",
    ]
    found = evaluate_maps(data, tmp_path, allow_missing=True)
    assert found.result.images == 4
    assert found.result.errors["blank"] >= 1
    assert found.unreadable == (
        f"{tmp_path}/0/3.jpg.npy: expected a map but there is no such file",
    )


def test_other_splits_are_asked_for_only_where_a_map_is_left_over(tmp_path):
    data = many(4)
    write_maps(data, tmp_path)
    asked = []

    def others():
        asked.append(1)
        return ["0/0.png", "0/2.png"]

    source = FolderMaps(data, tmp_path, others=others)
    assert source.list_extra() == asked == []
    (tmp_path / "0/2.png.npy").write_bytes(b"")
    assert source.list_extra() == []
    (tmp_path / "0/1.png.npy").write_bytes(b"")
    assert source.list_extra() == [f"{tmp_path}/0/1.png.npy: a map of no image"]
    assert len(asked) == 2


@pytest.mark.parametrize("precision", ["uint8", "float16"])
def test_what_a_precision_costs(tmp_path, precision):
    data = many(12)
    maps = write_maps(data, tmp_path / "full")
    write_maps(data, tmp_path / "short", precision)
    full, short = (evaluate_maps(data, tmp_path / name) for name in ("full", "short"))
    for image_id, heat in maps.items():
        stored = np.load(tmp_path / "short" / f"{image_id}.npy").astype(np.float64)
        stored = stored / 255 if precision == "uint8" else stored
        assert np.abs(stored - heat).max() <= PRECISIONS[precision]
    if precision == "uint8":
        assert short.result == full.result
    else:
        assert short.result.max_box_acc == pytest.approx(full.result.max_box_acc, abs=10)


def test_results_of_every_image(tmp_path):
    data = many(40)
    write_maps(data, tmp_path / "maps")
    found = evaluate_maps(data, tmp_path / "maps", threshold=0.4, out=tmp_path / "out").result
    rows = list(read_results(tmp_path / "out").rows.values())
    assert [row["id"] for row in rows] == list(data.ids)
    kinds = [row["error"] for row in rows]
    assert {kind: kinds.count(kind) for kind in set(kinds) - {None}} == {
        kind: count for kind, count in found.errors.items() if count
    }
    assert found.gt_known_loc == pytest.approx(100 * kinds.count(None) / 40)
    for row, true in zip(rows, data.boxes, strict=True):
        assert row["true_boxes"] == to_edges(true).tolist()
        assert row["best_iou"] >= row["iou"]
        assert (row["iou"] >= 0.5) == (row["error"] is None)
        near = pairwise_iou([row["box"]], row["true_boxes"]).max()
        assert near == pytest.approx(row["iou"], abs=0.03)  # the protocol compares cut integers
    hits = np.zeros(1000, int)
    for row in rows:
        for start, stop in row["hits"]["all"]["30"]:
            hits[start:stop] += 1
    assert hits.tolist() == found.curves["all"]["30"]


def test_all_protocols_see_the_same_maps(tmp_path):
    data = many(10)
    write_maps(data, tmp_path)
    rules = [find_protocol(name) for name in ("wsoleval", "tdam", "clean")]
    together = score_maps(FolderMaps(data, tmp_path), rules, [0.3, 0.3, 0.3], out=tmp_path / "out")
    for each, protocol in zip(together, rules, strict=True):
        alone = evaluate_maps(data, tmp_path, protocol=protocol, threshold=0.3,
                              class_map="ground_truth")  # fmt: skip
        assert each.result == alone.result
        assert read_results(tmp_path / "out" / protocol.name).scores["protocol"] == protocol.name


def test_crops_are_scored_where_they_lie(model, split, photos):
    """Under `tdam` a network sees the centre, and true boxes are cut to it."""
    found = evaluate(model, split, photos, protocol="tdam")
    assert (found.rule, found.class_map) == ("fixed", "predicted")
    assert found.result.gt_known_loc is None
    assert found.result.baselines["full_image"] >= 50  # the cat fills its crop


def test_networks_that_are_not_registered_tell_their_layer(split, photos, tmp_path):
    torch.manual_seed(0)
    body = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 5, stride=8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    )  # fmt: skip
    options = {"method": "layercam", "preprocessing": Preprocessing(size=64)}
    found = evaluate(body, split, photos, out=tmp_path / "out", **options)
    assert found.result == evaluate(body, split, photos, layer="0", **options).result
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 2))
    with pytest.raises(ValueError, match=r"Expected target_layer, .* \(no module puts out maps"):
        evaluate(flat, split, photos, **options)


@pytest.mark.parametrize(
    "change", [{"output_stride": 16}, {"layer": "bn2"}], ids=["network", "layer"]
)
def test_a_run_goes_on_only_with_the_same_network(model, split, photos, tmp_path, change):
    """Weights alone do not tell: a dilated network has the same ones."""
    layer = {key: change[key] for key in change if key == "layer"}
    stride = {key: change[key] for key in change if key != "layer"}
    other = create_model("efficientnet_lite0", num_classes=2, **stride)
    other.load_state_dict(model.state_dict())
    data = Split(
        "test",
        ("chelsea.png", "coffee.png", "rocket.jpg"),
        np.array([0, 1, 1]),
        np.vstack([split.sizes, [[640, 427]]]),
        (*split.boxes, np.array([[300, 100, 340, 300]])),
    )
    options = {"batch_size": 1, "method": "layercam"}
    with pytest.raises(KillError):
        evaluate(model, data, photos, out=tmp_path, events=Stopper(2, KillError), **options)
    with pytest.raises(ResumeError, match="network" if stride else "layer"):
        evaluate(other, data, photos, out=tmp_path, **layer, **options)
    found = evaluate(model, data, photos, out=tmp_path, **options)
    assert found.result == evaluate(model, data, photos, **options).result


def test_an_unreadable_image_keeps_its_place(model, split, photos, tmp_path):
    data = Split("test", ("gone.png", "coffee.png"), split.labels, split.sizes, split.boxes)
    evaluate(model, data, photos, out=tmp_path)
    rows = list(read_results(tmp_path).rows.values())
    assert [row["id"] for row in rows] == ["gone.png", "coffee.png"]
    assert rows[0]["rank"] is rows[0]["map_class"] is rows[0]["box"] is None
    assert rows[0]["score"] is None
    assert rows[0]["unreadable"].endswith("gone.png: no such file")


def test_maps_behind_a_link(tmp_path):
    data = many(6)
    write_maps(data, tmp_path / "maps")
    (tmp_path / "maps" / "1").rename(tmp_path / "elsewhere")
    (tmp_path / "maps" / "1").symlink_to(tmp_path / "elsewhere")
    assert evaluate_maps(data, tmp_path / "maps").result.images == 6
