"""Modules: finding parameters, states, training and evaluation."""

import copy
import pickle

import numpy as np
import pytest

import nunes.autograd.functional as F
from nunes import Tensor, nn, optimizers
from nunes.models import CNN, MLP, AlexNet, LeNet


def test_parameters_are_found_by_name_and_in_order():
    model = nn.Sequential(first=nn.Linear(3, 4), act=nn.ReLU(), second=nn.Linear(4, 2, bias=False))
    assert [name for name, _ in model.named_parameters()] == ["first.weight", "first.bias", "second.weight"]
    numbered = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Tanh(), nn.Flatten())
    assert {name: p.shape for name, p in numbered.named_parameters()} == {"0.weight": (3, 3, 1, 4), "0.bias": (4,)}
    assert numbered(Tensor(np.ones((2, 5, 5, 2), np.float32))).shape == (2, 36)


class Tied(nn.Module):
    def __init__(self):
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.last = self.first  # a module that is used twice

    def forward(self, x):
        return self.last(self.second(self.first(x)))


def test_a_shared_parameter_is_one(tmp_path):
    net, x = Tied(), Tensor(np.ones((2, 3), np.float32))
    assert [name for name, _ in net.named_parameters()] == ["first.weight", "second.bias"]
    assert list(net.state_dict()) == ["first.weight", "second.bias"]
    before, optimizer = net.state_dict(), optimizers.SGD([*net.parameters(), *net.second.parameters()], 0.5)
    net(x).sum().backward()
    gradient = net.first.weight.grad
    optimizer.step()
    np.testing.assert_array_equal(net.second.weight.data, before["first.weight"] - np.float32(0.5) * gradient)
    other = Tied()
    net.save(tmp_path / "tied.npz")
    np.testing.assert_array_equal(other.load(tmp_path / "tied.npz")(x).data, net(x).data)
    assert other.second.weight is other.first.weight
    other.astype(np.float64)
    assert other.second.weight.dtype == np.float64


NETWORKS = {
    "alexnet": (lambda: AlexNet(5, 67, 0.1), (2, 67, 67, 3)),
    "lenet": (lambda: LeNet(dropout=0.5), (2, 28, 28, 1)),
    "tied": (Tied, (2, 3)),
    "all layers": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm(4), nn.LeakyReLU(0.2), nn.ELU(), nn.GELU(), nn.SiLU(), nn.Sigmoid(),
            nn.Tanh(), nn.Softplus(), nn.LocalResponseNorm(3), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Dropout2d(),
            nn.Flatten(), nn.ReLU(), nn.LogSoftmax(1), nn.Softmax(),
        ),
        (2, 10, 10, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("twin_of", [lambda net: pickle.loads(pickle.dumps(net)), copy.deepcopy])
def test_networks_are_pickled_and_copied(name, twin_of):
    make, shape = NETWORKS[name]
    net, x = make(), Tensor(np.random.default_rng(0).standard_normal(shape, np.float32))
    net(x).sum().backward()
    twin = twin_of(net)
    expected = net(x).data
    optimizers.SGD(net.parameters(), 1.0).step()
    np.testing.assert_array_equal(twin(x).data, expected)  # the state of its dropout too
    assert len(twin.parameters()) == len(net.parameters())


@pytest.mark.parametrize(
    "loss",
    [nn.CrossEntropyLoss(0.1), nn.NLLLoss(), nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(0.5), nn.BCEWithLogitsLoss()],
)
def test_losses_are_pickled(loss):
    twin = pickle.loads(pickle.dumps(loss))
    assert (type(twin), twin.options) == (type(loss), loss.options)


def test_only_modules_make_a_sequence():
    with pytest.raises(TypeError, match="Sequential: 1 is not a Module"):
        nn.Sequential(nn.Linear(3, 4), np.tanh)


def test_a_misspelt_option_is_an_error_at_once():
    for make in (lambda: nn.LeakyReLU(slop=0.2), lambda: nn.MaxPool2d(3, strides=2), lambda: nn.HuberLoss(beta=1.0)):
        with pytest.raises(TypeError, match="unexpected keyword"):
            make()


def test_parameters_own_their_arrays():
    array = np.ones((2, 3)).T
    parameter = nn.Parameter(array)
    parameter.data += 1
    assert parameter.data.flags.c_contiguous
    np.testing.assert_array_equal(array, 1)


def test_states_are_copied_and_mistakes_named():
    one, two = nn.Linear(3, 2, generator=np.random.default_rng(0)), nn.Linear(3, 2)
    state = one.state_dict()
    two.load_state_dict(state)
    one.weight.data += 1
    np.testing.assert_array_equal(two.weight.data, state["weight"])
    before = two.state_dict()
    with pytest.raises(
        ValueError, match=r"missing bias; unexpected bais; weight has shape \(2, 3\) instead of \(3, 2\)"
    ):
        two.load_state_dict({"bais": np.zeros(2), "weight": np.zeros((2, 3))})
    with pytest.raises(ValueError, match="could not convert"):
        two.load_state_dict({"weight": np.zeros((3, 2)), "bias": np.array(["a", "b"])})
    np.testing.assert_array_equal(two.weight.data, before["weight"])


def small():
    return nn.Sequential(conv=nn.Conv2d(1, 4, 3), norm=nn.BatchNorm(4), act=nn.LeakyReLU(0.2), flatten=nn.Flatten())


def test_states_are_saved_and_loaded(tmp_path):
    one, two, images = small(), small(), Tensor(np.random.default_rng(0).standard_normal((5, 6, 6, 1), np.float32))
    one(images)
    assert [name for name, _ in one.named_buffers()] == ["norm.running_mean", "norm.running_var"]
    assert len(one.parameters()) == 4
    one.save(tmp_path / "model.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    np.testing.assert_array_equal(two.load(tmp_path / "model.npz").eval()(images).data, one.eval()(images).data)


def test_bad_files_are_refused(tmp_path):
    model, path = small(), tmp_path / "model.npz"
    before = model.state_dict()
    with pytest.raises(FileNotFoundError):
        model.load(path)
    np.savez(path, **{"conv.weight": np.array([{"anything": "pickled"}])})
    whole = path.read_bytes()
    for content in (whole, whole[:100], b"", b"not an archive"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"load: .*model.npz is not an .npz of plain arrays"):
            model.load(path)
    np.savez(path, **{"conv.weight": np.ones(3)})
    with pytest.raises(
        ValueError, match=r"missing conv.bias; .*conv.weight has shape \(3,\) instead of \(3, 3, 1, 4\)"
    ):
        model.load(path)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_batch_norm_uses_its_running_statistics_in_evaluation():
    norm, x = nn.BatchNorm(3, momentum=1.0), Tensor(np.random.default_rng(0).standard_normal((64, 3)))
    trained = norm(x).data
    np.testing.assert_allclose(trained.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(norm.eval()(x).data, trained, rtol=0.02)
    before = norm.state_dict()
    norm(x)
    np.testing.assert_array_equal(norm.running_mean.data, before["running_mean"])


def test_a_layers_module_computes_what_its_function_does():
    x = Tensor(np.random.default_rng(0).standard_normal((2, 6, 6, 3)))
    pairs = [
        (nn.ReLU(), F.relu),
        (nn.LeakyReLU(slope=0.2), lambda x: F.leaky_relu(x, 0.2)),
        (nn.ELU(), F.elu),
        (nn.GELU(), F.gelu),
        (nn.SiLU(), F.silu),
        (nn.Sigmoid(), F.sigmoid),
        (nn.Tanh(), F.tanh),
        (nn.Softplus(), F.softplus),
        (nn.Softmax(1), lambda x: F.softmax(x, 1)),
        (nn.LogSoftmax(), F.log_softmax),
        (nn.Flatten(), F.flatten),
        (nn.AvgPool2d(2), lambda x: F.avg_pool2d(x, 2)),
        (nn.MaxPool2d(3, 2, 1), lambda x: F.max_pool2d(x, 3, 2, 1)),
        (nn.LocalResponseNorm(3), lambda x: F.local_response_norm(x, 3)),
    ]
    for module, function in pairs:
        np.testing.assert_array_equal(module(x).data, function(x).data)
    dropped = nn.Dropout2d(0.5, np.random.default_rng(0))(x).data
    np.testing.assert_array_equal(dropped, F.dropout2d(x, 0.5, True, np.random.default_rng(0)).data)


def test_training_and_evaluation():
    model = nn.Sequential(nn.Dropout(0.5, np.random.default_rng(0)), nn.Flatten())
    x = Tensor(np.ones((4, 10), np.float32))
    assert (model(x).data == 0).any()
    np.testing.assert_array_equal(model.eval()(x).data, x.data)
    assert (model.train()(x).data == 0).any()


def test_losses():
    logits = Tensor(np.zeros((3, 4)), requires_grad=True)
    assert nn.CrossEntropyLoss()(logits, np.array([0, 1, 2])).item() == pytest.approx(np.log(4))
    x, y = Tensor(np.array([1.0, 3.0]), requires_grad=True), Tensor(np.array([0.0, 1.0]))
    loss = nn.MSELoss()(x, y)
    loss.backward()
    assert loss.item() == 2.5
    np.testing.assert_allclose(x.grad, [1, 2])
    with pytest.raises(ValueError, match="must be equal"):
        nn.MSELoss()(x, Tensor(np.zeros(3)))
    for loss, function in {nn.L1Loss(): F.l1, nn.HuberLoss(delta=0.5): lambda x, y: F.huber(x, y, 0.5)}.items():
        assert loss(x, y).item() == function(x, y).item()
    assert nn.BCEWithLogitsLoss()(x, y).item() == F.bce_with_logits(x, y).item()
    assert nn.NLLLoss()(F.log_softmax(logits), [0, 1, 2]).item() == pytest.approx(np.log(4))
    assert nn.CrossEntropyLoss(label_smoothing=0.1)(logits, [0, 1, 2]).item() == pytest.approx(np.log(4))


def test_alexnet_has_the_papers_parameters_and_shapes():
    model = AlexNet(1000, width=1.0)
    assert sum(parameter.size for parameter in model.parameters()) == 60_965_224
    shapes = {name: array.shape for name, array in model.named_parameters()}
    assert shapes["conv1.weight"] == (11, 11, 3, 96)
    assert shapes["conv2.weight"] == (5, 5, 48, 256)
    assert shapes["fc6.weight"] == (9216, 4096)


@pytest.mark.parametrize(("network", "count"), [(LeNet, 61_706), (MLP, 101_770), (CNN, 21_840)])
def test_networks_for_digits(network, count):
    model = network(seed=1)
    assert sum(parameter.size for parameter in model.parameters()) == count
    x = Tensor(np.random.default_rng(0).standard_normal((3, 28, 28, 1), np.float32))
    logits = model(x)
    assert logits.shape == (3, 10)
    F.cross_entropy(logits, [1, 2, 3]).backward()
    assert all(np.abs(parameter.grad).max() > 0 for parameter in model.parameters())
    np.testing.assert_array_equal(model.eval()(x).data, network(seed=1).eval()(x).data)


def test_alexnets_two_forms():
    single = AlexNet(1000, groups=1, local_response_norm=False)
    shapes = {name: array.shape for name, array in single.named_parameters()}
    assert shapes["conv2.weight"] == (5, 5, 96, 256)
    assert shapes["conv4.weight"] == (3, 3, 384, 384)
    assert not any(isinstance(module, nn.LocalResponseNorm) for module in single.modules())
    assert sum(isinstance(module, nn.LocalResponseNorm) for module in AlexNet(10, 67).modules()) == 2


@pytest.mark.parametrize("size", [67, 99, 131])
def test_alexnet_takes_all_its_image_sizes(size):
    model = AlexNet(5, image_size=size, width=0.1)
    assert model(Tensor(np.zeros((2, size, size, 3), np.float32))).shape == (2, 5)


def test_alexnet_is_repeatable_and_its_masks_can_be_restarted():
    x = Tensor(np.random.default_rng(0).standard_normal((2, 67, 67, 3)).astype(np.float32))
    one, two = AlexNet(5, 67, 0.25, seed=4), AlexNet(5, 67, 0.25, seed=4)
    first = one(x).data
    np.testing.assert_array_equal(first, two(x).data)
    assert not np.array_equal(first, one(x).data)
    one.reseed_dropout(1, 2)
    again = one(x).data
    one.reseed_dropout(1, 2)
    np.testing.assert_array_equal(again, one(x).data)
    assert not np.array_equal(AlexNet(5, 67, 0.25, seed=5).conv1.weight.data, one.conv1.weight.data)


def test_alexnets_initialisations():
    he, paper = AlexNet(5, 67), AlexNet(5, 67, initialisation="paper")
    assert he.fc7.weight.data.std() == pytest.approx(np.sqrt(2 / 4096), rel=0.01)
    assert paper.fc7.weight.data.std() == pytest.approx(0.01, rel=0.01)
    assert (paper.conv2.bias.data == 1).all()
    assert (paper.conv3.bias.data == 0).all()


def test_alexnets_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"one of 67, 99, .* got 224"):
        AlexNet(5, image_size=224)
    with pytest.raises(ValueError, match="initialisation must be 'he' or 'paper', got 'xavier'"):
        AlexNet(5, 67, initialisation="xavier")
    with pytest.raises(ValueError, match=r"images must be \(N, 67, 67, 3\), got \(1, 99, 99, 3\)"):
        AlexNet(5, 67, 0.1)(Tensor(np.zeros((1, 99, 99, 3))))
