"""Mutated images of all formats, and a run that reads them while time and memory are watched.

    python tests/fuzz_images.py --count 50000 --seed 0

The n-th mutant of a seed is always the same. Workers read them one after the other; a worker that
dies or hangs is one escaped mutant, and the next goes on behind it. `--keep` saves what escaped.
"""

import argparse
import faulthandler
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from pathlib import Path

import numpy as np
from image_samples import list_originals, picture

TIME, MEMORY = 5.0, 1 << 30  # seconds of the processor, bytes above idle
_HANGS = 120  # seconds
_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000,
             0xFFFFFFFE, 0xFFFFFFFF)  # fmt: skip


def make_mutant(index, seed=0):
    """Make one mutant.

    Returns:
        suffix and content
    """
    rng = np.random.default_rng([seed, index])
    originals = list_originals()
    suffix, content = originals[int(rng.integers(len(originals)))]
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        change = _CHANGES[int(rng.integers(len(_CHANGES)))]
        data = change(rng, data) or bytearray(b"\0")
    if suffix == "png" and rng.random() < 0.7:
        data = _mend_checksums(data)
    return suffix, bytes(data)


def _place(rng, data):
    """Choose a position: half of them near the beginning, where headers are."""
    return int(rng.integers(min(len(data), 320) if rng.random() < 0.5 else len(data)))


def _flip(rng, data):
    for _ in range(int(rng.integers(1, 17))):
        data[_place(rng, data)] ^= 1 << int(rng.integers(8))
    return data


def _fill(rng, data):
    start, length = _place(rng, data), int(rng.integers(1, 64))
    fill = [b"\0", b"\xff", bytes([int(rng.integers(256))])][int(rng.integers(3))]
    end = min(start + length, len(data))
    data[start:end] = fill * (end - start)
    return data


def _scramble(rng, data):
    start = _place(rng, data)
    end = min(start + int(rng.integers(1, 32)), len(data))
    data[start:end] = rng.integers(0, 256, end - start, np.uint8).tobytes()
    return data


def _cut(rng, data):
    return data[: _place(rng, data)]


def _repeat(rng, data):
    start, length = _place(rng, data), int(rng.integers(1, 200))
    return data[:start] + data[start : start + length] * int(rng.integers(2, 20)) + data[start:]


def _drop(rng, data):
    start = _place(rng, data)
    return data[:start] + data[start + int(rng.integers(1, 100)) :]


def _splice(rng, data):
    originals = list_originals()
    other = originals[int(rng.integers(len(originals)))][1]
    return data[: _place(rng, data)] + other[_place(rng, other) :]


def _extreme(rng, data):
    """Set a number to an extreme, in either order of bytes."""
    for _ in range(int(rng.integers(1, 3))):
        width = int(rng.choice([1, 2, 4, 8]))
        start = _place(rng, data)
        value = _EXTREMES[int(rng.integers(len(_EXTREMES)))] & ((1 << 8 * width) - 1)
        data[start : start + width] = value.to_bytes(width, str(rng.choice(["big", "little"])))
    return data


def _grow(rng, data):
    """Make a number of the header a little or much larger, such as a height."""
    start = _place(rng, data)
    order = str(rng.choice(["big", "little"]))
    value = int.from_bytes(data[start : start + 2], order) * int(rng.integers(2, 300))
    data[start : start + 2] = (value & 0xFFFF).to_bytes(2, order)
    return data


_CHANGES = (_flip, _fill, _scramble, _cut, _repeat, _drop, _splice, _extreme, _extreme, _grow)


def _mend_checksums(data):
    """Make the checksums of a PNG's chunks right, so that a reader looks at what they hold."""
    position = 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 8 + length
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[position + 4 : end]))
        position = end + 4
    return data


def read_mutant(path):
    """Read a file as all commands do.

    Returns:
        None where it was read, why it was refused, or a traceback of what escaped
    """
    from eval.headers import read_header
    from eval.splits import ManifestError
    from wsol.images import ImageError, read_image

    try:
        try:
            size = read_header(path).upright
        except ManifestError:
            size = None
        image = read_image(path)
        if image.mode != "RGB" or image.size != size or 0 in image.size:
            return f"escaped: {image.mode} {image.size}, but the header says {size}"
    except ImageError as error:
        return f"refused: {error}"
    except Exception:
        return f"escaped: {traceback.format_exc()}"
    return None


def _work(start, stop, seed, folder):
    """Read mutants, a line of what became of each."""

    def write():
        for index in range(start, stop):
            suffix, content = make_mutant(index, seed)
            path = folder / f"mutant.{suffix}"
            path.write_bytes(content)
            yield index, path
            path.unlink()

    _watch(write())


def _watch(files):
    from wsol.images import read_image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "warm.png"
        picture().save(path)
        read_image(path)
    idle = _resident("VmRSS")
    for index, path in files:
        Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
        faulthandler.dump_traceback_later(_HANGS, exit=True)
        begun = time.process_time()
        outcome = read_mutant(path)
        taken = time.process_time() - begun
        faulthandler.cancel_dump_traceback_later()
        grown = max(_resident("VmHWM") - idle, 0)
        sys.stdout.write(json.dumps([index, outcome, round(taken, 3), grown]) + "\n")
        sys.stdout.flush()


def read_watched(paths):
    """Read files in a process of their own.

    Returns:
        for each what `read_mutant` returns, seconds of the processor, and bytes above idle
    """
    command = [sys.executable, __file__, "--read", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode or done.stderr:
        raise AssertionError(f"{done.returncode}: {done.stderr}")
    return [json.loads(line)[1:] for line in done.stdout.splitlines()]


def _resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


class Outcomes:
    """What became of a run's mutants."""

    def __init__(self):
        self.read = self.refused = 0
        self.escaped, self.noise = [], []
        self.slowest, self.largest = (0.0, -1), (0, -1)

    def add(self, index, outcome, seconds, grown):
        """Count one mutant."""
        self.slowest = max(self.slowest, (seconds, index))
        self.largest = max(self.largest, (grown, index))
        if seconds > TIME or grown > MEMORY:
            outcome = f"escaped: {seconds} s, {grown / 2**20:.0f} MiB"
        if outcome is None:
            self.read += 1
        elif outcome.startswith("refused"):
            self.refused += 1
        else:
            self.escaped.append((index, outcome))

    def __str__(self):
        return (
            f"{self.read + self.refused + len(self.escaped)} mutants: {self.read} read, "
            f"{self.refused} refused, {len(self.escaped)} escaped; slowest {self.slowest[0]:.2f} s "
            f"(no. {self.slowest[1]}), largest {self.largest[0] / 2**20:.0f} MiB above idle (no. "
            f"{self.largest[1]})"
        )


def run(count, seed=0, first=0, tell=None):
    """Read mutants in workers, one at a time.

    Returns:
        the outcomes
    """
    outcomes, index = Outcomes(), first
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as errors:
        while index < first + count:
            stop = min(index + 1000, first + count)
            command = [sys.executable, __file__, "--work", folder, "--seed", str(seed),
                       "--first", str(index), "--count", str(stop - index)]  # fmt: skip
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as worker:
                for line in worker.stdout:
                    outcomes.add(*json.loads(line))
                    index = json.loads(line)[0] + 1
            errors.seek(0)
            noise = errors.read().decode(errors="replace")
            errors.seek(0)
            errors.truncate()
            if worker.returncode:
                outcomes.escaped.append((index, f"killed: {worker.returncode} {noise[-2000:]}"))
                index += 1
            elif noise:
                outcomes.noise.append((index, noise))
            if tell is not None:
                tell(outcomes)
    return outcomes


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for those that escaped")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, nargs="+", help="read these files instead")
    asked = parser.parse_args()
    if asked.read:
        _watch(enumerate(asked.read))
        return
    if asked.work is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _work(asked.first, asked.first + asked.count, asked.seed, asked.work)
        return
    outcomes = run(asked.count, asked.seed, asked.first, lambda each: say(str(each)))
    for index, noise in outcomes.noise:
        say(f"on stderr before no. {index}: {noise[:500]}")
    for index, reason in outcomes.escaped:
        say(f"no. {index}: {reason}")
        if asked.keep is not None:
            asked.keep.mkdir(parents=True, exist_ok=True)
            suffix, content = make_mutant(index, asked.seed)
            (asked.keep / f"{asked.seed}-{index}.{suffix}").write_bytes(content)
    sys.exit(bool(outcomes.escaped))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
