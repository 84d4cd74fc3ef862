"""A Tiny ImageNet of two classes in the official layout."""

from PIL import Image

GOLDFISH, SALAMANDER = "n01443537", "n01629819"


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64)).save(path)


def write(folder, **changes):
    """Seven validation images a class, in no order; wnids in the download's own."""
    files = {
        "wnids.txt": f"{SALAMANDER}\n{GOLDFISH}\n",
        "words.txt": f"n00001740\tentity\n{GOLDFISH}\tgoldfish, Carassius auratus\n"
        f"{SALAMANDER}\tEuropean fire salamander\n",
        f"train/{GOLDFISH}/{GOLDFISH}_boxes.txt": f"{GOLDFISH}_10.JPEG\t0\t1\t63\t9\n"
        f"{GOLDFISH}_2.JPEG\t3\t4\t5\t60\n",
        f"train/{SALAMANDER}/{SALAMANDER}_boxes.txt": f"{SALAMANDER}_0.JPEG\t0\t0\t63\t63\n",
        "val/val_annotations.txt": "".join(
            f"val_{number}.JPEG\t{(GOLDFISH, SALAMANDER)[number % 2]}\t{number}\t1\t40\t50\n"
            for number in (13, 12, 0, 11, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9)
        ),
    }
    for name, text in (files | changes).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in (f"{GOLDFISH}_10", f"{GOLDFISH}_2", f"{SALAMANDER}_0"):
        image(folder / "train" / name.split("_")[0] / "images" / f"{name}.JPEG")
    for number in range(14):
        image(folder / "val" / "images" / f"val_{number}.JPEG")
    return folder
