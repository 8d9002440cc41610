"""The splits: stratified, seeded, the same on every machine, and possible with three examples of a class."""

import numpy as np
import pytest

from study import data
from study.config import ConfigError

SPLITS = ("train", "validation", "test")


def pool(*sizes, given="train"):
    """Labels of classes of these sizes, and what the source says of the examples."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return labels, np.full(len(labels), given, "<U10")


def count(where):
    return {split: int((where == split).sum()) for split in SPLITS}


def per_class(where, labels, split):
    return np.bincount(labels[where == split], minlength=labels.max() + 1)


@pytest.mark.parametrize("split_seed", [-1, 0, 7])
@pytest.mark.parametrize("classes", [1, 2, 8, 196])
def test_three_of_a_class_are_enough(classes, split_seed):
    labels, given = pool(*[3] * classes)
    where = data.draw_splits(labels, given, split_seed)
    assert min(count(where).values()) >= 1
    assert per_class(where, labels, "train").min() >= 1  # no class is lost to training
    assert max(per_class(where, labels, split).max() for split in ("validation", "test")) == 1


def test_totals_are_the_rounded_shares():
    for sizes in ([3] * 40, [4, 9, 33, 7], [20, 20], [196], list(range(3, 60))):
        labels, given = pool(*sizes)
        counts, total = count(data.draw_splits(labels, given, 0)), len(labels)
        assert counts["validation"] == round(0.1 * total)
        assert counts["test"] == round(0.15 * total)
        assert sum(counts.values()) == total


def test_they_are_stratified_by_class():
    sizes = np.array([40, 57, 83, 100, 9])
    labels, given = pool(*sizes)
    where = data.draw_splits(labels, given, 3)
    for split, share in (("validation", 0.1), ("test", 0.15)):
        found = per_class(where, labels, split)
        assert (np.floor(share * sizes) <= found).all()
        assert (found <= np.ceil(share * sizes)).all()
        lacking = share * sizes - np.floor(share * sizes)
        more = found > share * sizes
        assert lacking[more].min() >= lacking[~more].max()  # those that lack most get one more


def test_every_machine_draws_the_same():
    drawn = data.draw_splits(*pool(4, 3, 8), split_seed=5)
    assert [SPLITS.index(split) for split in drawn] == [0, 2, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]
    rounded = data.draw_splits(*pool(10, 20))
    expected = [0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 2, 0, 0, 0, 0]
    assert [SPLITS.index(split) for split in rounded] == expected


def test_a_seed_draws_anew_and_an_example_is_in_one_split():
    labels, given = pool(*[30] * 6)
    given[::5] = "test"
    draws = [data.draw_splits(labels, given, seed) for seed in (0, 1, 0)]
    np.testing.assert_array_equal(draws[0], draws[2])
    assert (draws[0] != draws[1]).any()
    assert (draws[0][given == "test"] == "train").any()  # what was given for test is drawn like all the others
    for where in draws:
        assert set(where) == set(SPLITS)
        assert len(where) == len(labels)


def test_what_is_given_stays_without_a_seed():
    labels, given = pool(*[30] * 6)
    given[::5] = "test"
    before = given.copy()
    where = data.draw_splits(labels, given)
    np.testing.assert_array_equal(where == "test", before == "test")
    np.testing.assert_array_equal(given, before)  # the arguments are left as they are
    left = per_class(before, labels, "train")
    np.testing.assert_array_equal(per_class(where, labels, "validation"), np.round(0.1 * left))
    given[given == "train"] = np.resize(["train", "train", "validation"], (given == "train").sum())
    np.testing.assert_array_equal(data.draw_splits(labels, given), given)  # nothing is missing


def test_without_a_given_test_split_another_tenth_is_taken():
    labels, given = pool(20, 40)
    where = data.draw_splits(labels, given)
    assert per_class(where, labels, "validation").tolist() == [2, 4]
    assert per_class(where, labels, "test").tolist() == [2, 4]


def test_classes_of_two_are_left_to_training():
    labels, given = pool(2, 2, 30)
    for split_seed in (-1, 0):
        where = data.draw_splits(labels, given, split_seed)
        assert per_class(where, labels, "train")[:2].tolist() == [2, 2]


def test_too_few_are_refused():
    message = r"too few photographs \(4\): none would be left for validation, test \(three of a class are enough\)"
    for split_seed in (-1, 0):
        with pytest.raises(ConfigError, match=message):
            data.draw_splits(*pool(2, 2), split_seed)
    with pytest.raises(ConfigError, match=r"\(3\): none would be left for train, validation"):
        data.draw_splits(*pool(3, given="test"))
