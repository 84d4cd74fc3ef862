import numpy as np
import pytest

from eval.statistics import REPLICATES, Difference, image_weights, interval, mcnemar


def test_weights_depend_on_the_id_alone():
    first = image_weights("val/a.jpg")
    assert np.array_equal(first, image_weights("val/a.jpg"))
    assert not np.array_equal(first, image_weights("val/b.jpg"))
    image_weights("caf\udce9")  # a file name that is not text


def test_weights_are_poisson():
    weights = np.stack([image_weights(str(i)) for i in range(400)]).astype(float)
    assert weights.shape == (400, REPLICATES)
    assert weights.mean() == pytest.approx(1, abs=0.01)
    assert weights.var() == pytest.approx(1, abs=0.02)
    assert np.mean(weights == 0) == pytest.approx(np.exp(-1), abs=0.005)
    between = np.corrcoef(weights[:50])
    assert np.abs(between[~np.eye(50, dtype=bool)]).max() < 0.2


def test_interval_agrees_with_the_plain_bootstrap():
    random = np.random.default_rng(0)
    hits = random.random(300) < 0.4
    weights = np.stack([image_weights(str(i)) for i in range(300)])
    ours = interval(100 * hits @ weights / weights.sum(axis=0))
    plain = [100 * hits[random.integers(0, 300, 300)].mean() for _ in range(4000)]
    assert ours == pytest.approx(np.percentile(plain, [2.5, 97.5]).tolist(), abs=1)


def test_replicates_without_an_image_do_not_count():
    assert interval(np.array([np.nan, 1.0, 1.0])) == [1, 1]
    assert interval(np.array([np.nan])) is None


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"),
    [(0, 0, 1), (1, 0, 1), (5, 0, 2 / 2**5), (8, 1, 20 / 2**9), (3, 3, 1)],
)
def test_mcnemar(gained, lost, p_value):
    assert mcnemar(gained, lost) == pytest.approx(p_value)
    assert mcnemar(lost, gained) == pytest.approx(p_value)


def test_difference():
    assert Difference(60.0, 62.5, -1.0, 6.0).difference == 2.5
