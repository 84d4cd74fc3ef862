import numpy as np
import pytest
import torch

from eval.manifest import Split
from tdam import create_model
from wsol import evaluate, evaluate_maps


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


def test_an_unreadable_image_is_a_miss_and_named(model, split, photos):
    found = evaluate(model, Split("test", ("gone.png", "coffee.png"), *(
        split.labels, split.sizes, split.boxes)), photos)  # fmt: skip
    assert len(found.unreadable) == 1
    assert found.unreadable[0].endswith("gone.png: no such file")
    assert found.result.images == 2
    assert found.result.max_box_acc <= 50
    assert found.to_dict()["unreadable"] == list(found.unreadable)


def test_the_model_is_left_as_it_was_after_an_exception(model, split, photos):
    model.train()

    def stop(done):
        raise KeyError("enough")

    with pytest.raises(KeyError):
        evaluate(model, split, photos, method="layercam", progress=stop)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


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
    with pytest.raises(ValueError, match=r"chelsea\.png\.npy: expected"):
        evaluate_maps(split, tmp_path)


def test_maps_of_integers_are_maps(split, tmp_path):
    for image_id in split.ids:
        np.save(tmp_path / f"{image_id}.npy", np.ones((224, 224), dtype=np.int8))
    assert evaluate_maps(split, tmp_path).result.baselines["full_image"] in (0, 50, 100)
