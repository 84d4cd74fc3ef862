import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import matplotlib
import matplotlib.style
import numpy as np
import pytest
import torch
from bright_objects import SIZE, Bright, localizer, picture
from PIL import Image
from small_shifts import SQUARE, blob, localized, network

from tdam import create_model
from tdam.preprocessing import Preprocessing
from wsol import Localizer
from wsol.attention_shift.files import ShiftWriter
from wsol.attention_shift.trace import trace_shift
from wsol.figures import _get_sheet, draw_localization, draw_picture, to_picture
from wsol.heatmap import resize_map
from wsol.images import ImageError, read_image
from wsol.overlays import colour, grey_backdrop, overlay
from wsol.palette import OPACITY
from wsol.picture_files import draw_beside
from wsol.png import encode_png
from wsol.prediction import predict
from wsol.regions import find_regions
from wsol.results import Localization, Step

BOX = (8, 4, 20, 28)
PHOTO = picture(SIZE, SIZE, BOX)


def locate(image, **options):
    with localizer(threshold=0.5, **options) as localize:
        return localize(image, labels=1)


def pixels(image):
    return np.asarray(image.convert("RGB"))


def test_a_result_is_a_line(tmp_path):
    PHOTO.save(tmp_path / "a.png")
    found = locate(tmp_path / "a.png")
    assert repr(found) == (
        f"Localization(name='bright', score={found.score:.3f}, boxes=[[8.0, 4.0, 20.0, 28.0]], "
        f"width=32, height=32, steps=1, path='{tmp_path / 'a.png'}')"
    )
    several = replace(found, boxes=np.tile(found.boxes, (12, 1)), box_scores=np.ones(12))
    assert "[8.0, 4.0, 20.0, 28.0], ... 12 boxes], width" in repr(several)
    assert ", others=['dark']" in repr(locate(PHOTO, topk=2))
    assert repr(replace(found, name="a\n\x1b[2J\u202e")).isprintable()
    assert repr(found.steps[0]).startswith("Step(map=float64 (32, 32), score=")


def test_no_result_or_localizer_writes_its_arrays():
    model = network(2)
    with Localizer(model, "gradcampp", 0.25, searchlights=["blocks.6.0"]) as localize:
        found = localize(Image.new("RGB", (64, 48)))
        outputs = model.forward_steps(torch.zeros(1, 3, 64, 64))
    shift = trace_shift(found, 0.25, localize.preprocessing)
    for each in (found, *found.steps, *find_regions(found), shift, *shift.steps, outputs):
        assert repr(each).isprintable()  # an array goes over several lines
        assert len(repr(each)) < 400, repr(each)
    assert repr(outputs).startswith(
        "StepOutputs(logits=float32 (1, 2, 5), features=float32 (1, 2, 1280, 2, 2), searchlights=<"
    )
    assert repr(localize) == (
        "Localizer(network='efficientnet_lite0 + tdam (joint, T2, m1)', method='gradcampp', "
        f"layer='{model.spec.map_layer}', threshold=0.25)"
    )
    with localizer(threshold=0.5) as plain:
        assert repr(plain) == (
            "Localizer(network='Bright', method='cam', layer='features', threshold=0.5)"
        )


def test_every_kind_of_image_is_drawn_as_predict_draws_it(tmp_path):
    PHOTO.save(tmp_path / "a.png")
    array = np.asarray(PHOTO)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    shown = Preprocessing(size=SIZE, mean=(0, 0, 0), std=(1, 1, 1))
    options = {"preprocessing": shown, "layer": "features", "fc_layer": "fc", "threshold": 0.5}
    predict(
        Bright(), tmp_path / "a.png", tmp_path / "out", save_images=True, method="cam",
        class_name="bright", names=["dark", "bright"], **options,
    )  # fmt: skip
    wanted = pixels(Image.open(tmp_path / "out" / "pictures" / "a.png"))
    for image in (tmp_path / "a.png", tensor / 255):
        np.testing.assert_array_equal(pixels(locate(image).draw()), wanted)
    (one,) = locate(array[None], topk=2)
    np.testing.assert_array_equal(pixels(Image.open(io.BytesIO(one._repr_png_()))), wanted)
    assert (pixels(one.others[0].draw()) != wanted).any()


def test_photographs_that_lie_are_drawn_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(60, 30, (5, 5, 20, 20)).save(tmp_path / "turned.png", exif=exif)
    of_file = locate(tmp_path / "turned.png").draw()
    of_memory = locate(Image.open(tmp_path / "turned.png")).draw()
    np.testing.assert_array_equal(pixels(of_file), pixels(of_memory))


def test_a_stream_keeps_no_image_and_says_what_is_missing(tmp_path):
    PHOTO.save(tmp_path / "a.png")
    with localizer(threshold=0.5) as localize:
        pairs = list(localize.stream([PHOTO, tmp_path / "a.png"], [1, 1]))
        called = localize([PHOTO, tmp_path / "a.png"], labels=1)
    assert [found.image for _, found in pairs] == [None, None]
    assert [found.image for found in called] == [PHOTO, None]  # itself, and what a file has
    item, found = pairs[0]
    with pytest.raises(ValueError, match=r"draw\(image\).*stream"):
        found.draw()
    assert found._repr_png_() is None
    np.testing.assert_array_equal(pixels(found.draw(item)), pixels(called[0].draw()))
    with pytest.raises(ValueError, match="32 x 32 pixels, but got one of 16 x 16"):
        found.draw(PHOTO.resize((16, 16)))
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"a\.png: .*draw\(image\)"):
        called[1].draw()
    assert called[1]._repr_png_() is None
    np.testing.assert_array_equal(pixels(called[1].draw(PHOTO)), pixels(called[0].draw()))


@pytest.mark.parametrize("side", [SIZE, 48])
def test_the_contour_is_cut_where_the_box_is(side):
    """The map is brought to the network's own square, whatever its side."""
    shown = Preprocessing(size=side, mean=(0, 0, 0), std=(1, 1, 1))
    found = locate(picture(96, 96, (24, 12, 60, 84)), preprocessing=shown)
    figure = draw_localization(found.image, found)
    scale = 96 / figure.axes[1].get_xlim()[1]
    lines = [scale * patch.get_xy() for patch in figure.axes[1].patches if len(patch.get_xy()) > 5]
    assert lines
    ends = np.concatenate([lines[0].min(axis=0), lines[0].max(axis=0)])
    np.testing.assert_allclose(ends, found.boxes[0], atol=96 / side / 2)
    unruled = draw_localization(found.image, replace(found, rule=None))
    assert not [p for p in unruled.axes[1].patches if len(p.get_xy()) > 5]


@pytest.mark.parametrize(
    ("name", "begins"), [("a.png", b"\x89PNG"), ("b.JPG", b"\xff\xd8"), ("below/c.pdf", b"%PDF")]
)
def test_a_picture_is_saved_by_its_name(tmp_path, name, begins):
    found = locate(PHOTO)
    for _ in range(2):  # it is replaced
        assert found.save(tmp_path / name) == tmp_path / name
    assert (tmp_path / name).read_bytes().startswith(begins)
    if name == "a.png":
        np.testing.assert_array_equal(pixels(Image.open(tmp_path / name)), pixels(found.draw()))


def test_other_names_are_folders_but_for_pictures_that_nobody_writes(tmp_path):
    found = locate(PHOTO)
    assert (found.save(tmp_path / "v1.2") / "localization.json").is_file()
    with pytest.raises(FileExistsError):
        found.save(tmp_path / "v1.2")
    with pytest.raises(ValueError, match=r"\.png, \.jpg.*but got .*a\.bmp"):
        found.save(tmp_path / "a.bmp")
    for name in ("x.txt", "x.npy", "out/x.json", "v1.2b"):
        with pytest.raises(ValueError, match=r"or a folder without a suffix but got .*"):
            found.save(tmp_path / name)
        assert not (tmp_path / name).exists()
    assert not (tmp_path / "a.bmp").exists()


def test_no_picture_replaces_the_photograph(tmp_path):
    path = tmp_path / "a.png"
    PHOTO.save(path)
    before = path.read_bytes()
    for image in (path, Image.open(path)):
        with pytest.raises(FileExistsError, match="the photograph itself"):
            locate(image).save(path)
    assert path.read_bytes() == before


def test_boxes_that_came_without_a_map_are_not_drawn():
    bare = Localization(0, "x", 0.5, np.zeros((0, 4)), np.zeros(0), (), 32, 32, image=PHOTO)
    with pytest.raises(ValueError, match="has none"):
        bare.draw()
    step = Step(np.eye(4), 0.5, (0, 0, 32, 32))
    assert replace(bare, steps=(step,)).draw().width > 600


def test_several_results_are_a_list_with_a_sheet():
    found = locate([PHOTO, picture(60, 20, (5, 5, 20, 15)), PHOTO])
    assert repr(found).count("\n") == 2
    assert isinstance(found, list)
    assert found == list(found)
    many = repr(type(found)([found[0]] * 500))
    assert many.count("\n") == 12
    assert many.endswith(",\n ... and 488 more]")
    one, sheet = found[:1].draw(), Image.open(io.BytesIO(found._repr_jpeg_()))
    widest = max(each.draw().width for each in (found[:1], found[1:2]))
    assert sheet.size == (2 * widest + 10, 2 * one.height + 10)  # the second is lower
    apart = pixels(sheet)[-one.height :, : one.width].astype(int) - pixels(one)
    assert np.abs(apart).mean() < 3
    found[0] = replace(found[0], image=None)
    assert found._repr_jpeg_() is None
    with pytest.raises(ValueError, match="empty"):
        found[:0].draw()


def test_a_shift_shows_its_strip(tmp_path):
    photo = Image.new("RGB", (200, 100), (120, 90, 60))
    photo.save(tmp_path / "a.png")
    found = localized(blob(0.25, 0.5), blob(0.75, 0.5), path=tmp_path / "a.png")
    shift = trace_shift(found, 0.3, SQUARE)
    first, last = (step.box.round(1).tolist() for step in shift.steps)
    assert repr(shift) == (
        f"Shift(name='class 1', scores=[0.500, 0.500], boxes=[{first}, {last}], "
        f"path_length=100.0, width=200, height=100, path='{tmp_path / 'a.png'}')"
    )
    (tmp_path / "out").mkdir()
    with ShiftWriter(tmp_path / "out", "") as writer:
        writer.add(shift)
    drawn = shift.draw()
    written = Image.open(tmp_path / "out" / "a.png")
    np.testing.assert_array_equal(pixels(written), pixels(drawn))
    shown = Image.open(io.BytesIO(shift._repr_png_()))
    assert (shown.width, shown.height) == (1280, round(1280 * drawn.height / drawn.width))
    memory = trace_shift(replace(found, path=None, image=photo), 0.3, SQUARE)
    assert memory.image is photo
    assert memory.draw().width < drawn.width + 5
    with pytest.raises(ValueError, match=r"draw\(image\)"):
        trace_shift(replace(found, path=None), 0.3, SQUARE).draw()


def test_a_registered_network_without_a_name_is_named():
    with Localizer(create_model("resnet18"), "cam") as localize:
        assert repr(localize).startswith("Localizer(network='resnet18', method='cam', layer=")


def test_a_picture_is_its_figure(photos):
    """Photograph, boxes, contour, letters and bar lie where the figure has them."""
    found = Localizer(network(2), "cam", 0.4)(sorted(photos.iterdir()))
    for each in found:
        true = each.boxes + 3
        for boxes in (None, true):
            picture = pixels(draw_picture(read_image(each.path), each, boxes))
            figure = pixels(to_picture(draw_localization(read_image(each.path), each, boxes)))
            assert picture.shape == figure.shape
            difference = np.abs(picture.astype(int) - figure).mean(axis=2)
            assert difference.mean() < 4  # two ways to make a photograph smaller
            assert (difference > 60).mean() < 0.01


def test_pictures_of_one_size_share_nothing_that_shows(photos):
    """Drawn alone, one after the other, or by threads at once: the same."""
    first, second = (
        replace(locate(picture(64, 48, box)), name=name)
        for box, name in (((8, 4, 20, 28), "one"), ((30, 10, 60, 40), "another, and longer"))
    )

    def draw(found):
        return draw_picture(found.image, found).tobytes()

    _get_sheet.cache_clear()
    one = draw(first)
    two = draw(second)
    assert one != two
    assert draw(first) == one
    _get_sheet.cache_clear()
    assert draw(second) == two
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, [first, second] * 8)) == [one, two] * 8


@pytest.mark.parametrize("size", [(400, 20), (20, 400), (1, 1), (3000, 2000)])
def test_a_photograph_of_any_shape_has_a_picture(size):
    found = locate(picture(*size, (0, 0, *size)))
    drawn = draw_picture(found.image, found)
    assert 600 < drawn.width < 1100
    assert 150 < drawn.height < 1100


def test_results_come_in_order_once_they_are_drawn(tmp_path):
    paths = []
    for number in range(6):
        paths.append(tmp_path / f"{number}.png")
        PHOTO.save(paths[-1])
    found = [(path, locate(path)) for path in paths]
    found[2] = (paths[2], ImageError("2: broken"))
    paths[4].unlink()  # it vanishes
    out = tmp_path / "pictures"
    told = []
    for path, result, fault in draw_beside(iter(found), out, {"0"}):
        drawn = {each.stem for each in out.glob("*.png")} if out.exists() else set()
        told.append((path.stem, type(result) is Localization, fault))
        if fault is None and type(result) is Localization:
            assert {"0": "0-2"}.get(path.stem, path.stem) in drawn
    assert [each[0] for each in told] == list("012345")
    assert [each[1] for each in told] == [True, True, False, True, True, True]
    assert told[4][2]
    assert not any(each[2] for each in told[:4])


def test_a_disk_without_room_ends_the_drawing(tmp_path):
    PHOTO.save(tmp_path / "a.png")
    found = [(tmp_path / "a.png", locate(tmp_path / "a.png"))] * 3
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        list(draw_beside(iter(found), tmp_path / "file" / "pictures", set()))


def test_a_picture_that_fails_leaves_nothing_on_the_next():
    first, second = (locate(picture(64, 48, box)) for box in ((8, 4, 20, 28), (30, 10, 60, 40)))
    before = draw_picture(second.image, second).tobytes()
    with pytest.raises(ValueError, match=r"shape \(k, 4\) but got \(1, 3\)"):
        first.draw(true_boxes=[[1, 2, 3]])
    broken = replace(first, boxes=np.array([["a"] * 4], dtype=object))
    with pytest.raises(TypeError):
        draw_picture(broken.image, broken)
    assert draw_picture(second.image, second).tobytes() == before


def test_drawing_changes_no_setting():
    """A thread draws beside a caller who has settings of his own."""
    found = replace(locate(PHOTO), name="日本の猫 \U0001f600 ж")
    seen = []
    with matplotlib.rc_context({"font.family": ["serif"], "lines.linewidth": 7}):
        settings = dict(matplotlib.rcParams)
        with ThreadPoolExecutor(2) as pool, warnings.catch_warnings():
            warnings.simplefilter("error")
            jobs = [pool.submit(found.draw) for _ in range(6)]
            while not all(job.done() for job in jobs):
                seen.append(dict(matplotlib.rcParams) == settings)
            assert len({job.result().tobytes() for job in jobs}) == 1
    assert all(seen)


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (200, 133)])
def test_a_png_holds_every_pixel_and_its_density(size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    content = encode_png(Image.fromarray(noise), dpi=110)
    with Image.open(io.BytesIO(content)) as read:
        read.verify()  # chunks and their checksums
    with Image.open(io.BytesIO(content)) as read:
        assert np.array_equal(np.asarray(read), noise)
        assert np.allclose(read.info["dpi"], 110, atol=0.02)


@pytest.mark.parametrize("limits", [(0.0, 1.0), (0.2, 0.6), (0.3, 0.3)])
@pytest.mark.parametrize("region", [(0, 0, 90, 60), (6, 5, 80, 75)])
def test_a_map_is_mixed_with_the_grey_photograph_as_written_down(limits, region):
    rng = np.random.default_rng(1)
    view = Image.fromarray(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8))
    values = rng.uniform(-0.1, 1.1, (8, 8)).astype(np.float32)
    grey = np.asarray(grey_backdrop(view), dtype=np.float64)[..., None] / 255
    wanted = np.repeat(grey, 3, axis=2)
    x0, y0, x1, y1 = region
    shown = resize_map(values, (x1 - x0, y1 - y0), "bilinear")[: 60 - y0, : 90 - x0]
    low, high = limits
    share = (shown - low) / (high - low) if high > low else np.full(shown.shape, 0.5)
    rgb = matplotlib.colormaps["viridis"](share)[..., :3]
    part = wanted[y0 : y0 + len(shown), x0 : x0 + shown.shape[1]]
    part[:] = OPACITY * rgb + (1 - OPACITY) * part
    drawn = np.asarray(overlay(view, values, region, view.size, "viridis", limits))
    assert np.array_equal(drawn, (wanted * 255).round())


@pytest.mark.parametrize("name", ["tab10", "viridis"])
def test_colours_are_those_of_matplotlib(name):
    values = np.linspace(0, 1, 1001)
    assert np.array_equal(colour(values, name), matplotlib.colormaps[name](values)[..., :3])


def test_a_picture_is_drawn_in_the_style_of_its_moment():
    found = locate(PHOTO)
    light = np.asarray(draw_picture(PHOTO, found))
    with matplotlib.style.context("dark_background"):
        assert np.asarray(draw_picture(PHOTO, found))[0, 0].tolist() == [0, 0, 0]
    assert np.array_equal(draw_picture(PHOTO, found), light)


@pytest.mark.parametrize("panel", [0, -1.0, float("nan")])
def test_a_picture_without_width_is_refused(panel):
    with pytest.raises(ValueError, match="panel to be above 0"):
        draw_picture(PHOTO, locate(PHOTO), panel=panel)
