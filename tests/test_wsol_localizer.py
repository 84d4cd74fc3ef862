import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from bright_objects import SIZE, localizer, picture
from PIL import Image

from tdam.preprocessing import Preprocessing
from wsol import Localizer
from wsol.images import ImageError


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((32, 32), (8, 4, 20, 28)),
        ((64, 32), (16, 4, 40, 28)),  # landscape: a width and a height that are swapped would show
        ((32, 96), (8, 12, 20, 84)),
        ((320, 160), (0, 0, 320, 80)),
        ((8, 8), (2, 1, 5, 7)),
    ],
)
def test_boxes_are_in_original_pixels(size, box):
    with localizer(threshold=0.5) as locate:
        found = locate(picture(*size, box), labels=1)
    assert (found.width, found.height) == size
    tolerance = max(size) / SIZE  # one pixel of the input
    np.testing.assert_allclose(found.boxes, [box], atol=tolerance)


def test_a_full_map_gives_the_full_image():
    """Half black, half white, dark wanted nowhere: threshold 0 keeps all but the very minimum."""
    image = picture(70, 50, (0, 0, 70, 50))
    image.putpixel((35, 25), (0, 0, 0))
    with localizer(threshold=0.0) as locate:
        assert locate(image, labels=1).boxes.tolist() == [[0, 0, 70, 50]]


def test_crop_moves_boxes_along():
    crop = Preprocessing(size=SIZE, mean=(0, 0, 0), std=(1, 1, 1), mode="crop", resize=SIZE)
    with localizer(preprocessing=crop, threshold=0.5) as locate:
        found = locate(picture(96, 32, (40, 8, 56, 24)), labels=1)
    np.testing.assert_allclose(found.boxes, [[40, 8, 56, 24]], atol=1)
    assert found.steps[0].region == (32, 0, 64, 32)


def test_batch_equals_single_and_order_is_kept(tmp_path):
    pictures = [picture(40 + i, 30, (4 + i, 5, 20 + i, 25)) for i in range(7)]
    with localizer(batch_size=3) as locate:
        together = locate(pictures)
        alone = [locate(each) for each in pictures]
    for one, other in zip(together, alone, strict=True):
        assert one.to_dict() == other.to_dict()
        np.testing.assert_array_equal(one.steps[0].map, other.steps[0].map)


def test_every_kind_of_image_gives_the_same(tmp_path):
    image = picture(48, 32, (10, 8, 30, 20))
    image.save(tmp_path / "a.png")
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    with localizer() as locate:
        wanted = locate(image).boxes
        for same in (tmp_path / "a.png", str(tmp_path / "a.png"), array, tensor, tensor / 255):
            np.testing.assert_array_equal(locate(same).boxes, wanted)
        for several in (array[None], tensor[None], [array]):
            np.testing.assert_array_equal(locate(several)[0].boxes, wanted)
        assert locate(tmp_path / "a.png").path == tmp_path / "a.png"
        assert locate([]) == []


def test_photographs_in_memory_are_turned_upright_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(60, 30, (5, 5, 20, 20)).save(tmp_path / "turned.png", exif=exif)
    with localizer() as locate:
        found = locate(Image.open(tmp_path / "turned.png"))
        np.testing.assert_array_equal(found.boxes, locate(tmp_path / "turned.png").boxes)
    assert (found.width, found.height) == (30, 60)


def test_classes_ranked_and_known():
    image = picture(32, 32, (0, 0, 32, 20))
    with localizer(topk=2) as locate:
        free, known = locate([image, image], labels=[None, 0])
        assert locate(image, labels=np.int64(0)).label == 0
    assert [found.name for found in free.classes] == ["bright", "dark"]
    assert [found.name for found in known.classes] == ["dark", "bright"]
    assert sum(found.score for found in free.classes) == pytest.approx(1)
    assert free.boxes[0, 1] < known.boxes[0, 1]  # bright above, dark below


def test_multi_gives_a_box_a_region():
    image = picture(32, 32, (2, 2, 10, 10))
    image.paste((120, 120, 120), (20, 18, 30, 30))
    with localizer(contours="outer", threshold=0.2) as locate:
        found = locate(image, labels=1)
    np.testing.assert_allclose(found.boxes, [[2, 2, 10, 10], [20, 18, 30, 30]], atol=1)
    dim = (120 - 5) / (250 - 5)
    np.testing.assert_allclose(found.box_scores / found.score, [1, dim], atol=0.05)
    with localizer(contours="outer", threshold=0.2) as locate:
        turned = locate(image.rotate(180), labels=1)
    np.testing.assert_allclose(turned.boxes, [[22, 22, 30, 30], [2, 2, 12, 14]], atol=1)
    np.testing.assert_allclose(turned.box_scores, found.box_scores)


@pytest.mark.parametrize("method", ["cam", "layercam"])
def test_the_model_is_left_as_it_was(method):
    with localizer(method) as locate:
        locate.model.train()
        with torch.inference_mode(method == "cam"):
            locate(picture(32, 32, (4, 4, 12, 12)))
        assert all(module.training for module in locate.model.modules())
    assert not any(module._forward_hooks for module in locate.model.modules())
    assert all(p.grad is None for p in locate.model.parameters())


@pytest.mark.parametrize("method", ["cam", "gradcam++"])
def test_threads_share_a_localizer(method):
    images = [picture(32, 32, (4 * i, 2, 4 * i + 12, 14)) for i in range(4)] * 8
    with localizer(method) as locate, ThreadPoolExecutor(4) as pool:
        alone = [locate(image).steps[0].map for image in images]
        together = [found.steps[0].map for found in pool.map(locate, images)]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_stream_goes_on_after_an_unreadable_image(tmp_path):
    good = tmp_path / "good.png"
    picture(20, 20, (2, 2, 9, 9)).save(good)
    with localizer(batch_size=2) as locate:
        results = list(locate.stream([good, tmp_path / "gone.png", good]))
    assert [isinstance(found, ImageError) for _, found in results] == [False, True, False]
    with localizer() as locate, pytest.raises(ImageError, match=r"gone\.png: no such file"):
        locate(tmp_path / "gone.png")


def test_saves_itself_once(tmp_path):
    with localizer() as locate:
        found = locate(picture(48, 32, (10, 8, 30, 20)))
    folder = found.save(tmp_path / "out" / "bird")
    record = json.loads((folder / "localization.json").read_text())
    assert record["predictions"][0]["boxes"] == found.boxes.tolist()
    np.testing.assert_array_equal(np.load(folder / "step1.npy"), found.steps[0].map)
    with pytest.raises(FileExistsError):
        found.save(folder)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (3, TypeError),
        (np.zeros((4, 4), np.uint8), ValueError),
        (np.zeros((4, 4, 3)), ValueError),
        (torch.full((3, 4, 4), 2.0), ValueError),
        (np.zeros((0, 4, 3), np.uint8), ValueError),
    ],
)
def test_what_is_no_image(image, error):
    with localizer() as locate, pytest.raises(error, match="Expected"):
        locate(image)


@pytest.mark.parametrize(
    "options",
    [{"threshold": 2}, {"contours": "x"}, {"topk": 0}, {"method": "x"}, {"device": "abacus"},
     {"batch_size": 0}],
)  # fmt: skip
def test_wrong_use(options):
    with pytest.raises(ValueError, match="Expected"):
        localizer(**options)
    with localizer() as locate, pytest.raises(ValueError, match="labels from 0 to 1"):
        locate(picture(9, 9, (1, 1, 4, 4)), labels=2)


@pytest.mark.parametrize("method", ["cam", "layercam", "gradcampp"])
def test_real_photographs(lite0, photos, method):
    """The cat fills its photograph; the espresso is left of the middle, in the upper part."""
    with Localizer(lite0, method) as locate:
        cat, espresso = locate([photos / "chelsea.png", photos / "coffee.png"], labels=[281, 967])
    assert np.prod(cat.boxes[0, 2:] - cat.boxes[0, :2]) > 0.6 * 451 * 300
    x0, y0, x1, y1 = espresso.boxes[0]
    assert x0 < 292 < x1 < 500
    assert y0 < 162 < y1
    assert espresso.name == "espresso"


@pytest.mark.parametrize(
    ("name", "steps"), [("efficientnet_lite0", 2), ("mobilenet_v3_large", 3), ("vgg16", 1)]
)
def test_every_step_has_its_map(name, steps):
    from tdam import create_model

    torch.manual_seed(0)
    model = create_model(name, attention="tdam", steps=steps, num_classes=5)
    image = Image.effect_noise((90, 70), 90).convert("RGB")
    with Localizer(model, topk=2) as locate:
        found = locate([image, image])
    for each in (kind for one in found for kind in one.classes):
        assert [step.map.shape for step in each.steps] == [(7, 7)] * steps
        assert each.score == each.steps[-1].score
    assert all(p.grad is None for p in model.parameters())
    with torch.inference_mode():
        x = model.spec.preprocessing(image)[None]
        logits = model.forward_steps(x).logits[0].softmax(-1)
    got = [step.score for step in found[0].steps]
    np.testing.assert_allclose(got, logits[:, found[0].label], atol=1e-6)


def test_the_last_map_is_what_hooks_see(lite0, photos):
    """Maps from the network's own steps and from hooks on its forward pass are the same."""
    for method, layer in (("cam", "bn2"), ("layercam", "blocks.6.0.bn1")):
        with Localizer(lite0, method) as locate:
            ours = locate(photos / "chelsea.png")
        with Localizer(lite0, method, target_layer=layer) as locate:
            other = locate(photos / "chelsea.png")
        np.testing.assert_allclose(ours.steps[-1].map, other.steps[-1].map, atol=1e-5)
        np.testing.assert_array_equal(ours.boxes, other.boxes)
