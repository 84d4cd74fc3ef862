"""Files of weights as a stranger may write them: every field of the metadata, every structure."""

import io
import json
import pickle
import struct
import zipfile

import torch

from tdam import create_model, save_checkpoint

NAMES = ["cat", "dog"]
LONG = "x" * 100_000
NO_TEXTS = (None, 7, 1.5, True, [], {}, ["cbam"], {"name": "cbam"})
NO_NUMBERS = (None, "2", 2.5, True, [2], {}, [], -1, 10**6 + 1, 10**400, -(10**400))
FIELDS = {  # values that none of our files has
    "name": (*NO_TEXTS, "", "resnet17", "../resnet18", "os.system", LONG, "resnet18\x1b[2J"),
    "attention": (*NO_TEXTS, "", "tdam2", "os:system", "subprocess:run", "/etc/passwd", LONG),
    "steps": (*NO_NUMBERS, 0, 65, 10_000),
    "distance": (*NO_NUMBERS, 65),
    "searchlight": (*NO_TEXTS, "", "bottom", LONG),
    "order": (*NO_TEXTS, "", "spatial->", LONG),
    "pooling": (*NO_TEXTS, "", "mean", LONG),
    "num_classes": (*NO_NUMBERS, 0, 1, 3, 1000, 10**6),
    "output_stride": (*NO_NUMBERS, 0, 1, 12, 64),
    "dilated": (None, 0, 1, "yes", [], {}),
    "regularizer": (*NO_TEXTS[1:], "", "os:system", "DropBlock", LONG),
    "regularized": (None, 7, "blocks.6.0", [7], [None], [["blocks.6.0"]], {"a": 1}, [LONG]),
}
UNKNOWN = {
    "weights": ("/etc/passwd", "pretrained", "https://example.org/w.pth", None, ""),
    "new_head": (True, False),
    "teacher": ("pretrained",),
    "path": ("/etc/passwd",),
    "__class__": ("os.system",),
    "a\x1b[2Jb": (1,),
    LONG: (1,),
}
LEARNED = {
    "class_names": (
        7, "cat", True, {}, {"0": "cat"}, [], ["cat"], [*NAMES, "cow"], ["cat", 7],
        ["cat", None], ["cat", ["dog"]], ["cat", LONG],
    ),
    "threshold": ("0.2", True, [], [0.2], {}, -0.1, 1.1, 10**400),
    "method": (*NO_TEXTS, "", LONG, "a\nb"),
    "map_layer": (*NO_TEXTS, "", LONG),
    "preprocessing": (None, 7, "squash", [], [224], {}, {"size": 224}),
    "weights": ("/etc/passwd",),
    "extra": (1,),
}  # fmt: skip
INPUT = {
    "size": (*NO_NUMBERS, 0, 1, 15, 2049, 20_000),
    "mean": (None, 7, "0", [], [0, 0], [0] * 4, ["0"] * 3, [None] * 3, [1e30] * 3, [[0]] * 3),
    "std": (None, 1, [], [1, 1], [1] * 4, [0, 1, 1], [-1] * 3, [1e-300] * 3, [1e30] * 3),
    "mode": (*NO_TEXTS, "", "stretch", LONG),
    "resize": ("256", 1.5, True, [], {}, 0, -1, 10**9),
    "weights": ("/etc/passwd",),
}


def base():
    """What a file of ours says."""
    return {
        "name": "efficientnet_lite0",
        "attention": "none",
        "steps": 2,
        "distance": 1,
        "searchlight": "joint",
        "order": "channel->spatial",
        "pooling": "average",
        "num_classes": 2,
        "output_stride": 32,
        "dilated": True,
        "learned": {
            "class_names": NAMES,
            "threshold": 0.2,
            "method": "gradcampp",
            "map_layer": "blocks.6.0.bn1",
            "preprocessing": {
                "size": 64,
                "mean": [0.5, 0.5, 0.5],
                "std": [0.5, 0.5, 0.5],
                "mode": "squash",
                "resize": None,
            },
        },
    }


def metadata():
    """Yield a name and metadata for every wrong value, and for texts that are no metadata."""
    for fields, inside in (({**FIELDS, **UNKNOWN}, ()), (LEARNED, ("learned",))):
        yield from _mutate(fields, inside)
    yield from _mutate(INPUT, ("learned", "preprocessing"))
    whole = json.dumps(base())
    texts = {
        "empty": "",
        "no JSON": "{",
        "a list": "[]",
        "a number": "7",
        "null": "null",
        "nothing": "{}",
        "a text": '"efficientnet_lite0"',
        "deep": "[" * 100_000,
        "deep and closed": "[" * 50_000 + "]" * 50_000,
        "deep inside": whole.replace('["cat"', "[" * 50_000 + '["cat"'),
        "long": '{"name": "' + "x" * (5 * 2**20) + '"}',
        "many keys": json.dumps({str(i): i for i in range(50_000)}),
        "two in one": whole + whole,
        "learned is a list": json.dumps({**base(), "learned": []}),
        "learned is empty": json.dumps({**base(), "learned": {}}),
    }
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "1" + "0" * 400 + ".0"):
        texts[f"threshold {number[:9]}"] = whole.replace(
            '"threshold": 0.2', f'"threshold": {number}'
        )
        texts[f"mean {number[:9]}"] = whole.replace("[0.5, 0.5, 0.5]", f"[{number}, 0.5, 0.5]")
        texts[f"size {number[:9]}"] = whole.replace('"size": 64', f'"size": {number}')
    yield from texts.items()


def _mutate(fields, inside):
    for key, values in fields.items():
        for number, value in enumerate(values):
            content = base()
            table = content
            for name in inside:
                table = table[name]
            table[key] = value
            yield f"{'.'.join((*inside, key[:20]))} {number}", json.dumps(content)


def container(header, tensors=b""):
    """Put a file of the format safetensors together by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def with_metadata(text, extra=None):
    """A file with no more than the classifier of the network, and metadata."""
    weight, bias = 2 * 1280 * 4, 2 * 4
    header = {
        "__metadata__": {"wsol-tdam": text, **(extra or {})},
        "classifier.weight": {"dtype": "F32", "shape": [2, 1280], "data_offsets": [0, weight]},
        "classifier.bias": {"dtype": "F32", "shape": [2], "data_offsets": [weight, weight + bias]},
    }
    return container(header, bytes(weight + bias))


def safetensors_structures(good):
    """Yield name and bytes of files whose structure lies.

    Args:
        good: bytes of a file that can be read
    """
    length = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8 : 8 + length])
    first = next(key for key in header if key != "__metadata__")
    for name, size in {
        "nothing": 0,
        "length": 8,
        "header": 8 + length,
        "half": len(good) // 2,
    }.items():
        yield f"cut after {name}", good[:size]
    yield "one byte short", good[:-1]
    yield "one byte more", good + b"\0"
    for size in (0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1):
        yield f"a header of {size}", struct.pack("<Q", size) + good[8:]
    for field, value in (
        ("shape", [10**12]), ("shape", [-1]), ("shape", [2**63, 2**63]), ("shape", "2"),
        ("dtype", "F99"), ("dtype", "F8_E4M3"), ("dtype", 7), ("data_offsets", [0, 2**60]),
        ("data_offsets", [8, 0]), ("data_offsets", [-8, 0]), ("data_offsets", None),
    ):  # fmt: skip
        changed = {**header, first: {**header[first], field: value}}
        yield f"{field} {value}", container(changed, good[8 + length :])
    yield "no tensors", container({"__metadata__": header["__metadata__"]})
    yield "an empty header", container(b"{}")
    yield "a list for a header", container(b"[]")
    yield "no JSON for a header", container(b"\xff" * 64)
    yield "spaces for a header", container(b" " * (17 * 2**20))
    yield (
        "metadata that is no table",
        container({**header, "__metadata__": [1]}, good[8 + length :]),
    )
    yield (
        "metadata of numbers",
        container({**header, "__metadata__": {"wsol-tdam": 7}}, good[8 + length :]),
    )
    yield "metadata beside ours", with_metadata(json.dumps(base()), {"weights": "/etc/passwd"})
    yield (
        "a control character in a name",
        container(
            {"__metadata__": header["__metadata__"], "a\x1b[2J": header[first]}, good[8 + length :]
        ),
    )


def saved(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


class Command:
    """What a pickle would run."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('the file ran')",))


def torch_structures():
    """Yield name and bytes of files that torch did not save, or not of a network."""
    fine = {"fc.weight": torch.zeros(2, 512), "fc.bias": torch.zeros(2)}
    shared = torch.zeros(1_000_000)
    yield "no tensors", saved({"state_dict": {"a": 1}})
    for name, content in {
        "a list": [torch.zeros(2)],
        "a tensor": torch.zeros(2),
        "a number": 7,
        "nothing": {},
        "no state": {"state_dict": {}},
        "a state in a state": {"state_dict": {"state_dict": fine}},
        "settings that are no text": {"state_dict": fine, "wsol-tdam": 5},
        "settings that are a table": {"state_dict": fine, "wsol-tdam": base()},
        "settings that fetch": {
            "state_dict": fine, "wsol-tdam": json.dumps({**base(), "weights": "pretrained"}),
        },
        "a number for a name": {1: torch.zeros(2), **fine},
        "a pair for a name": {(1, 2): torch.zeros(2), **fine},
        "a long name": {LONG: torch.zeros(2), **fine},
        "a name that clears the screen": {"\x1b[2J": torch.zeros(2), **fine},
        "a name twice": {**fine, "module.fc.bias": torch.zeros(2)},
        "sparse": {**fine, "fc.weight": torch.eye(4).to_sparse()},
        "sparse rows": {**fine, "fc.weight": torch.eye(4).to_sparse_csr()},
        "quantised": {
            **fine, "fc.weight": torch.quantize_per_tensor(torch.zeros(4, 4), 0.1, 0, torch.qint8),
        },
        "complex": {**fine, "fc.weight": torch.zeros(2, 512, dtype=torch.complex64)},
        "eight bits": {**fine, "fc.weight": torch.zeros(2, 512).to(torch.float8_e4m3fn)},
        "without memory": {**fine, "fc.weight": torch.zeros(2, 512, device="meta")},
        "one number many times": {**fine, "fc.weight": torch.zeros(1).expand(10**6, 512)},
        "whole numbers": {**fine, "fc.weight": torch.ones(2, 512, dtype=torch.int8)},
        "one tensor of many names": {f"{i}": shared for i in range(20_000)},
        "parts of one tensor": {f"{i}": shared[i:] for i in range(2000)},
        "endless and empty": {**fine, "fc.weight": torch.zeros(10**9, 0)},
        "a number as a classifier": {**fine, "fc.weight": torch.zeros(())},
        "no classes": {**fine, "fc.weight": torch.zeros(0, 512)},
        "steps without end": {
            **create_model("resnet18", num_classes=2).state_dict(),
            "layer4.0.RA_block.Ug_top_mlp.0.weight": torch.zeros(()),
            "layer4.0.RA_block.Ug_mlp.0.weight": torch.zeros(()),
        },
        "a step of twelve digits": _published("layer4.0.bn2_999999999999.weight"),
        "a step of 300 digits": _published(f"layer4.0.bn2_{'9' * 300}.weight"),
    }.items():  # fmt: skip
        yield name, saved(content)
    yield "old format, cut", saved(fine, _use_new_zipfile_serialization=False)[:-2000]
    yield "a pickle that runs", pickle.dumps(Command())
    yield "a saved pickle that runs", saved({"state_dict": fine, "args": Command()})
    yield "text", b"fc.weight\n" * 100
    yield "empty", b""
    yield "zeros", bytes(5000)
    yield "cut", saved(fine)[:-500]
    yield "a bomb", _bomb(saved({"fc.weight": torch.zeros(2000, 4000)}))
    yield "the start of an archive alone", b"PK\x03\x04" + bytes(500)


def _published(norm):
    return {
        **create_model("resnet18", num_classes=2).state_dict(),
        "layer4.0.RA_block.Ug_top_mlp.0.weight": torch.zeros(32, 512, 1, 1),
        "layer4.0.RA_block.Ug_mlp.0.weight": torch.zeros(512, 64, 1, 1),
        norm: torch.zeros(512),
    }


def _bomb(content):
    """Compress what torch saves as it is."""
    small = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    return small.getvalue()


def good_file(folder):
    """A file that can be read."""
    torch.manual_seed(0)
    model = create_model("efficientnet_lite0", num_classes=2)
    model.class_names = tuple(NAMES)
    return save_checkpoint(model, folder / "good.safetensors")
