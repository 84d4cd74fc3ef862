import numpy as np
import pytest
from scipy.stats import ttest_1samp

from eval.statistics import Spread, measure_spread


def test_where_images_do_not_matter_it_is_students_interval():
    gaps = np.array([1.2, -0.4, 2.5, 0.9])
    spread = measure_spread(np.repeat(gaps[:, None], 1001, axis=1))
    expected = ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert spread.interval(gaps.mean()) == pytest.approx((expected.low, expected.high))


def test_where_trainings_do_not_vary_it_is_the_normal_interval_over_images():
    assert Spread(0.0, 0.5, 3).interval(2.0) == pytest.approx((2 - 0.98, 2 + 0.98), abs=1e-3)


def test_one_training_has_no_spread():
    assert measure_spread(np.ones((1, 1001))) is None


def test_replicates_without_images_are_passed_over():
    replicates = np.random.default_rng(0).normal(size=(3, 1001))
    holed = replicates.copy()
    holed[:, :500] = np.nan
    again = measure_spread(holed)
    assert again.images == pytest.approx(replicates[:, 500:-1].mean(axis=0).std())
    assert measure_spread(np.full((2, 1001), np.nan)) is None


@pytest.mark.parametrize(("effect", "count"), [(0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)])
def test_trainings_needed_are_those_of_published_tables_of_the_t_test(effect, count):
    assert Spread(2.0, 0.0, 3).trainings_needed(2.0 * effect) == count


def test_more_trainings_do_not_make_up_for_few_images():
    spread = Spread(1.0, 1.0, 3)
    assert spread.trainings_needed(2.0) is None
    assert spread.trainings_needed(4.9) == 2
    assert Spread(0.0, 0.0, 3).trainings_needed(1.0) == 2


def test_more_is_needed_for_less_and_of_a_wider_spread():
    needed = [Spread(1.0, 0.2, 3).trainings_needed(points) for points in (1, 2, 4.9)]
    assert needed == sorted(needed, reverse=True)
    assert Spread(2.0, 0.2, 3).trainings_needed(2) > needed[1]


@pytest.mark.parametrize(("between", "least"), [(0.0, 0.95), (0.5, 0.94), (1.5, 0.90)])
def test_the_truth_is_inside_as_often_as_the_docstring_says(between, least):
    """Three trainings, 9,000 images; over images alone the interval would hold it in half."""
    draw = np.random.default_rng(7)
    images, both = 20 / 9000**0.5, 40 / 9000**0.5
    inside = alone = 0
    for _ in range(1000):
        gaps = draw.normal(0, between, 3) + draw.normal(0, images) + draw.normal(0, both, 3)
        spread = Spread(gaps.std(ddof=1), (images**2 + both**2 / 3) ** 0.5, 3)
        low, high = spread.interval(gaps.mean())
        inside += low < 0 < high
        alone += abs(gaps.mean()) < 1.96 * spread.images
    assert inside / 1000 >= least
    assert between < 1 or alone / 1000 < 0.6
