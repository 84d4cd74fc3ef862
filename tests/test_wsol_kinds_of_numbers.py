"""The same boxes whatever a network computes in, is wrapped in, or is given."""

import copy

import numpy as np
import pytest
import torch
from skimage.data import astronaut, chelsea, coffee
from torch import nn

from eval.manifest import Split
from tdam import load_checkpoint
from tdam.precision import FewBitsWarning
from wsol import Localizer, evaluate

METHODS = ["cam", "gradcam", "gradcampp", "xgradcam", "layercam", "hirescam"]
SIDE = 224  # of the square that maps are cut in


@pytest.fixture(scope="module")
def network():
    return load_checkpoint("efficientnet_lite0_tdam")[0]


@pytest.fixture(scope="module")
def photographs():
    return [photo() for photo in (astronaut, chelsea, coffee)]


def boxes(model, method, photos, **options):
    found = Localizer(model, method, threshold=0.3, **options)(photos)
    return [each.boxes * SIDE / ([each.width, each.height] * 2) for each in found]


def assert_near(found, wanted, pixels=2):
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=pixels)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_kinds_of_numbers(network, photographs, method):
    wanted = boxes(network, method, photographs)
    # HiResCAM's signed products fall into pieces, of which another one is the largest in float16.
    kinds = (torch.float64,) if method == "hirescam" else (torch.float64, torch.float16)
    for kind in kinds:
        assert_near(boxes(copy.deepcopy(network).to(kind), method, photographs), wanted)


@pytest.mark.slow
def test_half_precision_gives_nearly_the_same_pieces(network, photographs):
    labels = [0, 281, 967]
    half = copy.deepcopy(network).half()
    found, wanted = (Localizer(each, "hirescam")(photographs, labels) for each in (half, network))
    for one, other in zip(found, wanted, strict=True):
        a, b = (each.steps[-1].map.ravel() for each in (one, other))
        assert np.corrcoef(a, b)[0, 1] > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradcampp", "layercam"])
def test_eight_bits_give_nearly_the_same_map(network, photographs, method):
    """Boxes of bfloat16 can jump between regions of about one size; the maps are alike."""
    rough = copy.deepcopy(network).bfloat16()
    labels = [0, 281, 967]
    with pytest.warns(FewBitsWarning, match="bfloat16: its maps have 8 bits"):
        found = Localizer(rough, method)(photographs, labels)
    wanted = Localizer(network, method)(photographs, labels)
    for one, other in zip(found, wanted, strict=True):
        a, b = (each.steps[-1].map.ravel() for each in (one, other))
        assert np.corrcoef(a, b)[0, 1] > 0.98


@pytest.mark.slow
def test_scores_of_other_kinds_of_numbers(network, photographs, tmp_path):
    from PIL import Image

    names = [f"{index}.png" for index in range(len(photographs))]
    for name, photo in zip(names, photographs, strict=True):
        Image.fromarray(photo).save(tmp_path / name)
    split = Split(
        "test",
        tuple(names),
        np.arange(3),
        sizes=np.array([photo.shape[1::-1] for photo in photographs]),
        boxes=tuple(np.array([[10, 10, 300, 280]]) for _ in names),
    )
    scores = [
        evaluate(
            copy.deepcopy(network).to(kind),
            split,
            tmp_path,
            threshold=0.3,
            classes={0: 0, 1: 281, 2: 967},
        ).result.to_dict()
        for kind in (torch.float32, torch.float64)
    ]
    assert scores[0] == scores[1]


def test_wrappers_change_nothing(network, photographs):
    wanted = boxes(network, "gradcampp", photographs[:1])
    tied = copy.deepcopy(network)
    nn.utils.parametrizations.weight_norm(tied.classifier)
    inside = copy.deepcopy(network)
    inside.compile()
    inside.blocks[6].compile()
    for model in (torch.compile(network), nn.DataParallel(network), tied, inside):
        assert_near(boxes(model, "gradcampp", photographs[:1]), wanted, pixels=0.01)


def test_weights_that_are_computed(network, photographs):
    wanted = boxes(network, "cam", photographs[:1])
    tied = copy.deepcopy(network)
    nn.utils.parametrizations.weight_norm(tied.classifier)
    assert_near(boxes(tied, "cam", photographs[:1]), wanted, pixels=0.01)


def test_a_network_that_changes_later(network, photographs):
    model = copy.deepcopy(network)
    localizer = Localizer(model, threshold=0.3)
    wanted = localizer(photographs[0]).boxes
    model.half()
    np.testing.assert_allclose(localizer(photographs[0]).boxes, wanted, atol=5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_quantised_classifier(network, photographs):
    model = torch.ao.quantization.quantize_dynamic(copy.deepcopy(network), {nn.Linear})
    wanted = boxes(network, "cam", photographs[1:2])
    assert_near(boxes(model, "cam", photographs[1:2]), wanted, pixels=4)
    with pytest.raises(ValueError, match="class scores depend on but they do not"):
        boxes(model, "gradcampp", photographs[1:2])


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_images_of_other_kinds_of_numbers(network, photographs, kind):
    image = torch.from_numpy(photographs[1]).permute(2, 0, 1)
    localizer = Localizer(network, threshold=0.3)
    wanted = localizer(image).boxes
    np.testing.assert_allclose(localizer((image / 255).to(kind)).boxes, wanted, atol=4)


@pytest.mark.parametrize("label", [torch.tensor(281), np.array(281), np.int64(281)])
def test_one_label_of_any_kind(network, photographs, label):
    found = Localizer(network)(photographs[1], label)
    assert found.label == 281
