"""One box of one image, a cat on a.jpg, as the tools that people draw boxes with write it."""

import json


def write_coco(path, edges, size, name="a.jpg"):
    x0, y0, x1, y1 = edges
    content = {
        "images": [{"id": 1, "file_name": name, "width": size[0], "height": size[1]}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path.write_text(json.dumps(content))
    return path


def write_cvat(path, edges, size, more=""):
    corners = " ".join(f'{k}="{v}"' for k, v in zip(("xtl", "ytl", "xbr", "ybr"), edges,
                                                    strict=True))  # fmt: skip
    path.write_text(
        f'<annotations><image name="a.jpg" width="{size[0]}" height="{size[1]}">'
        f'<box label="cat" {corners} {more}/></image></annotations>'
    )
    return path


def write_voc(path, edges, size):
    path = path.with_name("a.xml")
    corners = "".join(f"<{k}>{v:.1f}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"),
                                                            edges, strict=True))  # fmt: skip
    path.write_text(
        f"<annotation><filename>a.jpg</filename><size><width>{size[0]}</width><height>{size[1]}"
        f"</height></size><object><name>cat</name><bndbox>{corners}</bndbox></object></annotation>"
    )
    return path


def write_datumaro(path, edges, size):
    x0, y0, x1, y1 = edges
    box = {"type": "bbox", "label_id": 0, "bbox": [x0, y0, x1 - x0, y1 - y0]}
    image = {"path": "a.jpg", "size": [size[1], size[0]]}
    items = [{"id": "a", "annotations": [box], "image": image}]
    categories = {"label": {"labels": [{"name": "cat"}]}}
    path.write_text(json.dumps({"categories": categories, "items": items}))
    return path


def write_label_studio(path, edges, size, more=0):
    (x0, y0, x1, y1), (width, height) = edges, size
    value = {
        "x": 100 * x0 / width, "y": 100 * y0 / height, "width": 100 * (x1 - x0) / width,
        "height": 100 * (y1 - y0) / height, "rotation": more, "rectanglelabels": ["cat"],
    }  # fmt: skip
    region = {"value": value, "original_width": width, "original_height": height}
    path.write_text(
        json.dumps([{"data": {"image": "a.jpg"}, "annotations": [{"result": [region]}]}])
    )
    return path
