"""Wrong input from Python ends in a TypeError or ValueError that says what was expected."""

import numpy as np
import pytest
import torch

import wsol
from tdam import create_model
from wsol.heatmap import to_heatmap
from wsol.maps import MapExtractor
from wsol.prediction import predict


@pytest.fixture(scope="module")
def model():
    return create_model("resnet18", num_classes=3)


class FlatCAM(MapExtractor):
    """A method that forgets the second side of its maps."""

    def _compute(self, activations, ids, scores):
        return [activation.mean(dim=(1, 2)) for activation in activations]


class NoCAM(MapExtractor):
    """A method that gives nothing back."""

    def _compute(self, activations, ids, scores):
        return None


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c", "d"], []])
def test_names_must_be_as_many_as_classes(model, photos, names, tmp_path):
    wanted = f"names for the network's 3 classes but got {len(names)}"
    with pytest.raises(ValueError, match=wanted):
        wsol.Localizer(model, names=names)
    with pytest.raises(ValueError, match=wanted):
        predict(model, photos, names=names)
    with pytest.raises(ValueError, match=wanted):
        wsol.shift(model, photos, tmp_path / "out", names=names)
    with pytest.raises(TypeError, match="several, one a class"):
        wsol.Localizer(model, names="abc")


@pytest.mark.parametrize("size", [(0, 5), (-1, 5), (10.5, 5), 10, (1, 2, 3)])
def test_sizes_of_heat_maps(size):
    with pytest.raises(ValueError, match="width and height, from 1"):
        to_heatmap(np.eye(7), size)


def test_heat_maps_of_tensors_that_carry_gradients():
    raw = torch.eye(7, requires_grad=True)
    np.testing.assert_array_equal(to_heatmap(raw, (9, 9)), to_heatmap(np.eye(7), (9, 9)))
    with pytest.raises(ValueError, match="bicubic or bilinear but got 'cubic'"):
        to_heatmap(np.eye(7), (9, 9), "cubic")


@pytest.mark.parametrize("method", [FlatCAM, NoCAM])
def test_own_methods_must_give_maps(model, spot, method):
    wanted = rf"{method.__name__}._compute to return one \(N, h, w\) tensor for each"
    with pytest.raises(ValueError, match=wanted):
        wsol.Localizer(model, method)(spot)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, photos: predict(model, photos, class_name=3), "as text but got 3"),
        (lambda model, photos: predict(model, photos, method=3), "subclass of .* but got 3"),
        (lambda model, photos: wsol.Localizer(model, 3), "subclass of .* but got 3"),
        (lambda model, photos: wsol.Localizer("resnet18"), "a network but got 'resnet18'"),
        (lambda model, photos: wsol.benchmark(photos, ["a"]), "by name but got \\['a'\\]"),
        (lambda model, photos: wsol.train(3), "path or an opened data set but got 3"),
    ],
)
def test_wrong_types_are_told(model, photos, call, message):
    with pytest.raises(TypeError, match=message):
        call(model, photos)


def test_one_text_is_one_choice(model, photos, tmp_path):
    with pytest.raises(ValueError, match="but got 'xml'"):
        predict(model, photos, tmp_path / "out", formats="xml")
    with pytest.raises(ValueError, match="key=value but got 'abc'"):
        wsol.train(photos, tmp_path / "run", changes="abc")
    predict(model, photos / "coffee.png", tmp_path / "one", formats="csv")
    assert [path.name for path in (tmp_path / "one").glob("[!.]*")] == ["predictions.csv"]


def test_a_classifier_is_named_only_for_methods_that_take_one(model, photos):
    with pytest.raises(ValueError, match="None for the method layercam, which takes none"):
        wsol.Localizer(model, "layercam", fc_layer="fc")
    with pytest.raises(ValueError, match="None for the method layercam, which takes none"):
        predict(model, photos, method="layercam", layer="layer4", fc_layer="fc")
    assert wsol.Localizer(model, "cam", fc_layer="fc").extractor.classifier is model.fc
