import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from eval.geometry import clip_to_last_pixel, pairwise_iou, scale_boxes, square_to_image, to_edges


def random_boxes(rng, count):
    corners = np.sort(rng.uniform(0, 100, (count, 2, 2)), axis=1)
    return corners.reshape(count, 4)


def test_edges_agree_with_torchvision():
    rng = np.random.default_rng(0)
    boxes, others = random_boxes(rng, 30), random_boxes(rng, 20)
    expected = box_iou(torch.from_numpy(boxes), torch.from_numpy(others))
    np.testing.assert_allclose(pairwise_iou(boxes, others), expected, atol=1e-12)


def test_inclusive_counts_pixels():
    rng = np.random.default_rng(1)
    boxes = random_boxes(rng, 25).astype(int)
    for first in boxes:
        for second in boxes:
            masks = np.zeros((2, 101, 101), dtype=bool)
            for mask, (x0, y0, x1, y1) in zip(masks, (first, second), strict=True):
                mask[y0 : y1 + 1, x0 : x1 + 1] = True
            expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
            assert pairwise_iou([first], [second], "inclusive")[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        ([0, 0, 0, 0], [0, 0, 0, 0], 0.0),  # both empty
        ([0, 0, 2, 2], [2, 0, 4, 2], 0.0),  # they touch
        ([0, 0, 4, 4], [1, 1, 3, 3], 0.25),  # one inside the other
    ],
)
def test_edges_by_hand(box, other, expected):
    assert pairwise_iou([box], [other])[0, 0] == expected


def test_no_boxes_give_an_empty_table():
    assert pairwise_iou(np.zeros((0, 4)), [[0, 0, 1, 1]]).shape == (0, 1)


def test_scaling_multiplies_before_it_divides():
    # 15 * (224 / 210) is 15.999999999999998, which would be truncated to 15
    assert scale_boxes([[15, 15, 210, 210]], (210, 210), (224, 224)).astype(int).tolist() == [
        [16, 16, 224, 224]
    ]


def test_a_square_is_carried_to_the_part_of_the_image_that_it_shows():
    boxes = [[0, 0, 224, 112], [56, 0, 56, 224]]
    region = (144, 16, 368, 240)
    assert square_to_image(boxes, 224, region).tolist() == [
        [144, 16, 368, 128],
        [200, 16, 200, 240],
    ]
    assert square_to_image([112.0, 56.0], 224, (0, 0, 640, 480)).tolist() == [320, 120]
    assert square_to_image(np.zeros((0, 4)), 224, region).shape == (0, 4)


def test_edges_are_cut_at_the_last_pixel():
    boxes = np.array([[0, 0, 8, 5], [1, 2, 3, 4]])
    cut = clip_to_last_pixel(boxes, (8, 5))
    assert cut.tolist() == [[0, 0, 7, 4], [1, 2, 3, 4]]
    assert cut.dtype == boxes.dtype


def test_whole_pixels_stay_whole():
    assert to_edges([[1, 2, 3, 4]]).tolist() == [[1, 2, 4, 5]]
    assert to_edges(np.array([[1, 2, 3, 4]])).dtype.kind == "i"
    assert to_edges(np.array([[0.5, 0, 2, 2]])).tolist() == [[0.5, 0, 3, 3]]
