import threading

import pytest
import torch

from wsol.images import ImageError
from wsol.loading import read_images


def read(number):
    """Odd numbers are images, which hold the number; even ones cannot be read."""
    if number % 2 == 0:
        raise ImageError(f"{number} is even")
    return torch.full((3, 2, 2), float(number)), f"beside {number}"


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_batches_keep_the_order_and_split_off_what_cannot_be_read(workers):
    batches = list(read_images([1, 2, 3, 4, 6, 8, 5], read, 3, workers, "cpu"))
    assert [[item for item, _ in batch.outcomes] for batch in batches] == [
        [1, 2, 3],
        [4, 6, 8],
        [5],
    ]
    assert [batch.readable for batch in batches] == [
        [(1, "beside 1"), (3, "beside 3")], [], [(5, "beside 5")],
    ]  # fmt: skip
    assert [(item, str(error)) for batch in batches for item, error in batch.unreadable] == [
        (number, f"{number} is even") for number in (2, 4, 6, 8)
    ]
    first, second, third = (batch.images for batch in batches)
    assert first.shape == (2, 3, 2, 2)
    assert first[:, 0, 0, 0].tolist() == [1, 3]
    assert second is None
    assert third.unique().tolist() == [5]


def test_results_come_back_among_the_unreadable():
    (batch,) = read_images([2, 1, 4, 3], read, 8, 1, "cpu")
    found = [(item, str(result)) for item, result in batch.restore_order(["one", "three"])]
    assert found == [(2, "2 is even"), (1, "one"), (4, "4 is even"), (3, "three")]


def test_no_more_than_two_batches_are_read_ahead():
    asked = []

    def numbers():
        for number in range(1, 1000, 2):
            asked.append(number)
            yield number

    batches = read_images(numbers(), read, 2, 2, "cpu")
    next(batches)
    assert len(asked) == 6
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor")]


def test_other_faults_are_not_swallowed():
    def fail(number):
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        list(read_images([1], fail, 2, 1, "cpu"))


def test_a_batch_holds_at_least_one():
    with pytest.raises(ValueError, match="batch_size to be at least 1 but got 0"):
        list(read_images([1], read, 0, 1, "cpu"))
