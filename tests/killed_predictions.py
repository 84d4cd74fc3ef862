"""`wsol predict` in a process of its own: killed at any moment, resumed, and compared by hash.

    python tests/killed_predictions.py CHECKPOINT FOLDER [FILES] [KILLS]

makes FILES images in FOLDER, predicts them in all formats once without and once with KILLS kills,
and prints whether the folders are equal, with peak memory and times.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from wsol.writers import WRITERS

FORMATS = [part for name in WRITERS for part in ("--format", name)]


def fill(folder, count, bad=()):
    """Small images of one bright box each, some of one name in two folders, some unreadable."""
    for part in ("a", "b"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for i in range(count):
        pixels = generator.integers(60, 120, (36, 48, 3), dtype=np.uint8)
        x, y = generator.integers(0, 24, 2)
        pixels[y : y + 12, x : x + 20] = generator.integers(150, 256, 3)
        suffix = "png" if i % 4 else "jpg"
        path = folder / "ab"[i % 2] / f"{i // 2:05}.{suffix}"
        if i in bad:
            path.write_bytes(b"no image")
        else:
            Image.fromarray(pixels).save(path)
    return folder


def command(*arguments):
    return [sys.executable, "-m", "wsol", "predict", *map(str, arguments)]


def start(*arguments, **options):
    """Start `wsol predict`; its output goes nowhere unless `options` say otherwise."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command(*arguments), **options)


def finish(*arguments):
    """Run `wsol predict` to its end: exit code, standard error, peak memory in MiB, seconds."""
    began = time.monotonic()
    process = start(*arguments)
    told = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, told, usage.ru_maxrss / 1024, time.monotonic() - began


def kill(process, when):
    """Kill a process, and its group, once `when` is true; tell whether it was still at work."""
    while process.poll() is None and not when():
        time.sleep(0.05)
    killed = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    return killed


def journaled(out):
    """How many results a folder's journal has."""
    try:
        return (out / ".wsol-predict" / "results.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def done(out, files):
    """How far a folder is: its results and, once they are all there, its files of VOC."""
    count = journaled(out)
    if count < files:
        return count
    return count + sum(1 for _ in (out / "voc" / "Annotations").glob("*"))


def hash_folder(folder):
    """Every file by its name: the hash of its bytes, or what a link leads to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder"
    return found


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(checkpoint, folder, files=20_000, kills=5):
    folder = Path(folder)
    out = folder / "out"  # one name for all, since data.yaml tells it
    options = (*FORMATS, "--checkpoint", checkpoint, "--batch-size", 32, "--out", out)
    for count in (files // 10, files):
        images = fill(folder / str(count), count, bad=(7, 100, 1001, files - 3))
        code, told, peak, seconds = finish(images, *options)
        say(f"{count} files: exit {code}, {seconds:.0f} s, peak {peak:.0f} MiB")
        say("  " + "; ".join(told.splitlines()[-2:]))
        whole = hash_folder(out)
        out.rename(folder / f"whole-{count}")
    seed = int.from_bytes(os.urandom(4), "little")
    draw = random.Random(seed)
    say(f"{len(whole)} names in the folder; moments drawn with seed {seed}")
    for number in range(kills):
        begun = journaled(out)
        moment = draw.uniform(begun, begun + (files - begun) * 2 / (kills - number))
        process = start(images, *options, "--resume")
        killed = kill(process, lambda moment=moment: done(out, files) >= moment)
        written = done(out, files) - journaled(out)
        say(f"kill {number + 1}: {killed=} with {journaled(out)} results, {written} files of VOC")
    code, told, peak, _ = finish(images, *options, "--resume")
    say(f"resumed: exit {code}, peak {peak:.0f} MiB; {told.splitlines()[0]}")
    again = hash_folder(out)
    for name, each in (("uninterrupted", whole), ("killed", again)):
        say(f"{name:13} {hashlib.sha256(json.dumps(each).encode()).hexdigest()}")
    return whole == again


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
