"""Records: found by name; the interval of the mean against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from nextword.records import over_seeds, read_record


def test_a_record_has_rows_and_says_where_it_comes_from():
    record = read_record("scaling")
    assert record.keys() == {"command", "date", "machine", "notes", "rows"}
    assert len(record["rows"]) > 40


@pytest.mark.parametrize("name", ["scalling", "../data/scaling", ""])
def test_a_name_without_a_record_is_refused(name):
    with pytest.raises(ValueError, match="There is no record"):
        read_record(name)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_the_interval_is_that_of_students_t(n):
    values = np.random.default_rng(n).normal(3.0, 2.0, n)
    mean, half = over_seeds(list(values))
    low, high = stats.t.interval(
        0.95, n - 1, loc=values.mean(), scale=stats.sem(values)
    )
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_the_interval_of_five_by_hand():
    """The deviations -2 to 2 have s = √2.5, and t is 2.776."""
    mean, half = over_seeds([1, 2, 3, 4, 5])
    assert mean == 3
    assert half == pytest.approx(2.776 * (2.5 / 5) ** 0.5, abs=1e-3)


def test_the_interval_holds_the_truth_95_times_in_100():
    rng = np.random.default_rng(0)
    pairs = [over_seeds(list(rng.normal(1.0, 1.0, 5))) for _ in range(2000)]
    share = np.mean([abs(mean - 1.0) <= half for mean, half in pairs])
    assert abs(share - 0.95) < 0.015


@pytest.mark.parametrize("values", [[], [0.5]])
def test_one_result_has_no_interval(values):
    with pytest.raises(ValueError, match="two seeds or more"):
        over_seeds(values)
