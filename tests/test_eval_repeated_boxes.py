"""The same true box twice is no second object."""

import json

import numpy as np
import pytest

from eval.data_set import open_data_set

BOX = (3, 4, 20, 30)


def four_files(folder, boxes):
    split = folder / "test"
    split.mkdir(parents=True)
    (split / "image_ids.txt").write_text("a.png\nb.png\n")
    (split / "class_labels.txt").write_text("a.png,0\nb.png,1\n")
    (split / "image_sizes.txt").write_text("a.png,40,50\nb.png,40,50\n")
    lines = [f"a.png,{','.join(map(str, box))}\n" for box in boxes]
    (split / "localization.txt").write_text("".join([*lines, "b.png,0,0,9,9\n"]))
    return folder


def coco(folder, boxes):
    folder.mkdir(parents=True)
    images = [
        {"id": row, "file_name": f"{name}.png", "width": 40, "height": 50}
        for row, name in enumerate("ab")
    ]
    corners = [(0, *box) for box in boxes] + [(1, 0, 0, 9, 9)]
    annotations = [
        {"id": n, "image_id": i, "category_id": i, "bbox": [x, y, u - x + 1, v - y + 1]}
        for n, (i, x, y, u, v) in enumerate(corners)
    ]
    categories = [{"id": 0, "name": "ant"}, {"id": 1, "name": "bee"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "data.json").write_text(json.dumps(content))
    return folder / "data.json"


@pytest.mark.fault("input: a true box that is listed twice")
@pytest.mark.parametrize("write", [four_files, coco])
@pytest.mark.parametrize(
    ("boxes", "kept"),
    [
        ([BOX, BOX], [BOX]),
        ([BOX, (1, 1, 9, 9), BOX, BOX], [BOX, (1, 1, 9, 9)]),
        ([BOX, (3, 4, 20, 31)], [BOX, (3, 4, 20, 31)]),
    ],
)
def test_a_box_counts_once(tmp_path, write, boxes, kept):
    split = open_data_set(write(tmp_path / "data", boxes)).load()
    np.testing.assert_array_equal(split.boxes[0], kept)
    again = len(boxes) - len(kept)
    assert split.repeated_boxes == again
    assert split.summary.endswith(f" ({again} listed again)" if again else " boxes")
