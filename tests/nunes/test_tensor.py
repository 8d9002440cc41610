"""Tensors where people take them for arrays: comparisons, truth, iteration, NumPy's functions, copies."""

import copy
import operator
import pickle

import numpy as np
import pytest

import nunes.autograd.functional as F
from nunes import Tensor, no_grad

ARRAY = np.array([1.0, 3.0, 2.0], np.float32)
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


def wanted():
    return Tensor(ARRAY, requires_grad=True)


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("other", [np.array([1.0, 1.0, 4.0], np.float32), 2, 2.0, np.float32(2), [1.0, 3.0, 0.0]])
def test_comparisons_are_numpys(compare, other):
    pairs = [(compare(wanted(), other), compare(ARRAY, other)), (compare(other, wanted()), compare(other, ARRAY))]
    if isinstance(other, np.ndarray):
        pairs.append((compare(Tensor(other), wanted()), compare(other, ARRAY)))
    for ours, expected in pairs:
        assert type(ours) is np.ndarray
        np.testing.assert_array_equal(ours, expected)


def test_comparisons_refuse_what_numpy_refuses():
    assert not (wanted() == None).any()  # noqa: E711
    with pytest.raises(ValueError, match="broadcast"):
        operator.eq(wanted(), Tensor(np.zeros(2)))
    with pytest.raises(TypeError):
        operator.lt(wanted(), "2")


def test_truth_membership_and_order():
    assert not Tensor(0.0)
    assert Tensor([[2]])
    with pytest.raises(ValueError, match="ambiguous"):
        bool(wanted())
    assert 3 in wanted()
    assert Tensor(2.0) in wanted()
    assert 4 not in wanted()
    assert 3 in Tensor([[1, 2], [3, 4]])
    assert 3 in Tensor(3)
    assert [x.item() for x in sorted(wanted())] == [1, 2, 3]
    assert max(Tensor([1, 3, 2])).item() == 3
    with pytest.raises(ValueError, match="ambiguous"):
        wanted() in [wanted()]  # noqa: B015


def test_as_keys_tensors_are_themselves():
    one, two = wanted(), wanted()
    names = {one: "one", two: "two"}
    assert (names[one], names[two], len({one, two, one})) == ("one", "two", 2)


def test_a_single_number_has_no_rows():
    assert [row.shape for row in Tensor(np.zeros((2, 3)))] == [(3,), (3,)]
    with pytest.raises(TypeError, match="unsized"):
        list(Tensor(3.0))


FLOATING = {
    "mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min, "var": np.var, "std": np.std, "prod": np.prod,
    "sort": np.sort, "median": np.median, "norm": np.linalg.norm, "clip": lambda x: np.clip(x, a_min=None, a_max=2),
    "where": lambda x: np.where(ARRAY > 1, x, 0), "concatenate": lambda x: np.concatenate([x, x]),
    "stack": lambda x: np.stack((x, ARRAY)), "split": lambda x: np.split(x, [1]), "keyword": lambda x: np.mean(a=x),
}  # fmt: skip
OTHERS = {
    "argmax": np.argmax, "any": np.any, "all": np.all, "shape": np.shape, "nonzero": np.nonzero,
    "array_equal": lambda x: np.array_equal(x, ARRAY), "allclose": lambda x: np.allclose(ARRAY, x),
    "isin": lambda x: np.isin(2, x),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOATING | OTHERS)
def test_numpys_functions_take_the_array(name):
    function = (FLOATING | OTHERS)[name]
    with no_grad():
        answers = function(Tensor(ARRAY)), function(wanted())
    expected = function(ARRAY)
    for ours in answers:
        assert type(ours) is type(expected)
        several = isinstance(expected, list | tuple)
        for one, other in zip(ours if several else [ours], expected if several else [expected], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", FLOATING)
def test_numpys_functions_do_not_lose_a_gradient(name):
    with pytest.raises(TypeError, match=r"np.\w+ would lose the gradient; use nunes.autograd.functional, or .data"):
        FLOATING[name](wanted())


@pytest.mark.parametrize("name", OTHERS)
def test_numpys_functions_answer_where_there_is_no_gradient_to_lose(name):
    np.testing.assert_array_equal(OTHERS[name](wanted()), OTHERS[name](ARRAY))


@pytest.mark.parametrize("ufunc", [np.exp, np.isnan, lambda x: np.maximum(x, 0), lambda x: np.equal(ARRAY, x)])
def test_numpys_ufuncs_are_refused(ufunc):
    with pytest.raises(TypeError, match="does not support ufuncs"):
        ufunc(Tensor(ARRAY))


@pytest.mark.parametrize("garbage", [None, "1", ["a"], 2**70, [None]])
def test_only_numbers_make_a_tensor(garbage):
    with pytest.raises(TypeError, match="Tensor: only numbers make a tensor, got"):
        Tensor(garbage)


def test_data_is_assigned_as_an_array_of_its_own_order():
    x = wanted()
    x.data = Tensor(np.arange(6.0).reshape(2, 3).T)
    assert type(x.data) is np.ndarray
    assert x.data.flags.c_contiguous
    x.data = [1.0, 2.0]
    assert x.dtype == np.float32
    for bad in (None, [1, 2]):
        with pytest.raises(TypeError, match="Tensor: only floating dtypes have gradients, got"):
            x.data = bad
    with pytest.raises(RuntimeError, match="data: this tensor was computed and belongs to a graph"):
        F.sigmoid(x).data *= 2


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "exp", "max_pool2d", "linear", "cross_entropy", "reshape"])
def test_operations_and_leaves_are_pickled(name):
    assert pickle.loads(pickle.dumps(getattr(F, name))) is getattr(F, name)
    x = wanted()
    x.grad = 2 * ARRAY
    for twin in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        twin.data += 1
        np.testing.assert_array_equal(twin.data, x.data + 1)
        np.testing.assert_array_equal(twin.grad, x.grad)
        assert twin.requires_grad
