"""Networks: `AlexNet`, which reads as the table in its paper, and small ones for digits."""

from functools import partial

import numpy as np

from nunes import Tensor, nn


def _makers(seed, dropout):
    """What makes a network's convolutions, linear layers and dropouts, each drawing from `seed`; what draws weights."""
    weights, masks = (np.random.default_rng((seed, stream)) for stream in range(2))
    conv, linear = (partial(layer, generator=weights) for layer in (nn.Conv2d, nn.Linear))
    return conv, linear, partial(nn.Dropout, dropout, masks), weights


class AlexNet(nn.Sequential):
    """AlexNet (Krizhevsky, Sutskever, Hinton 2012): five convolutions, three fully-connected layers.

    (N, image_size, image_size, 3) float images -> (N, num_classes) logits. At 227 px:

        conv1  96 × 11×11, stride 4    55² -> LRN, max pool 3/2 -> 27²
        conv2  256 × 5×5, 2 groups     27² -> LRN, max pool 3/2 -> 13²
        conv3  384 × 3×3               13²
        conv4  384 × 3×3, 2 groups     13²
        conv5  256 × 3×3, 2 groups     13² -> max pool 3/2 -> 6²
        fc6, fc7  4096, dropout        fc8  num_classes

    The paper's "224" does not fit its own strides; 227 does, and so do 67, 99, 131, ... (32 px apart).

    Args:
        num_classes: how many classes to tell apart.
        image_size: height and width in pixels, 67 + 32·i.
        width: scales the channels and the units of fc6 and fc7.
        groups: 2 as in the paper (its two GPUs); 1 gives the single-tower form.
        local_response_norm: False leaves the LRN layers out.
        dropout: the probability of dropping a unit after fc6 and fc7.
        seed: of the initial weights and the dropout masks.
        initialisation: "he" (default) or "paper", which is N(0, 0.01²) with biases 1 in conv2, conv4, conv5, fc6
            and fc7. We depart from the paper because its constants want its own learning-rate schedule, tuned by
            hand over 90 epochs of ImageNet; He's (2015) trains without.

    Raises:
        ValueError: an image size that the strides do not fit, or another argument out of range.
    """

    def __init__(
        self, num_classes, image_size=227, width=1.0, groups=2, local_response_norm=True, dropout=0.5, seed=0,
        initialisation="he",
    ):  # fmt: skip
        if image_size < 67 or (image_size - 67) % 32:
            raise ValueError(f"AlexNet: image_size must be one of 67, 99, 131, 163, 195, 227, ...; got {image_size}")
        if num_classes < 1 or width <= 0 or groups < 1:
            raise ValueError(f"AlexNet: {num_classes=}, {width=} and {groups=} must be positive")
        if initialisation not in ("he", "paper"):
            raise ValueError(f"AlexNet: initialisation must be 'he' or 'paper', got {initialisation!r}")
        conv, linear, drop, weights = _makers(seed, dropout)
        lrn = partial(nn.LocalResponseNorm, size=5, alpha=1e-4, beta=0.75, k=2.0)
        norm = lrn if local_response_norm else nn.Sequential
        units = (96, 256, 384, 384, 256, 4096)
        c1, c2, c3, c4, c5, hidden = (groups * max(1, round(each * width / groups)) for each in units)
        last = (image_size - 35) // 32  # height and width after the last pool: 1, 2, ..., 6 at 227 px
        super().__init__(
            conv1=conv(3, c1, 11, stride=4), relu1=nn.ReLU(), norm1=norm(), pool1=nn.MaxPool2d(3, 2),
            conv2=conv(c1, c2, 5, padding=2, groups=groups), relu2=nn.ReLU(), norm2=norm(), pool2=nn.MaxPool2d(3, 2),
            conv3=conv(c2, c3, 3, padding=1), relu3=nn.ReLU(),
            conv4=conv(c3, c4, 3, padding=1, groups=groups), relu4=nn.ReLU(),
            conv5=conv(c4, c5, 3, padding=1, groups=groups), relu5=nn.ReLU(), pool5=nn.MaxPool2d(3, 2),
            flatten=nn.Flatten(),
            fc6=linear(last * last * c5, hidden), relu6=nn.ReLU(), drop6=drop(),
            fc7=linear(hidden, hidden), relu7=nn.ReLU(), drop7=drop(),
            fc8=linear(hidden, num_classes),
        )  # fmt: skip
        self.image_size = image_size
        if initialisation == "paper":
            for name, parameter in self.named_parameters():
                if name.endswith("weight"):
                    parameter.data[...] = 0.01 * weights.standard_normal(parameter.shape, np.float32)
                elif name.split(".")[0] in ("conv2", "conv4", "conv5", "fc6", "fc7"):
                    parameter.data[...] = 1

    def forward(self, images):
        size, dtype = self.image_size, self.conv1.weight.dtype
        if images.shape[1:] != (size, size, 3):
            raise ValueError(f"AlexNet: images must be (N, {size}, {size}, 3), got {images.shape}")
        if images.dtype != dtype and not images.requires_grad:  # float64 images must not make everything float64
            images = Tensor(images.data.astype(dtype))
        return super().forward(images)


class LeNet(nn.Sequential):
    """LeNet-5 (LeCun et al. 1998) with ReLU and max pooling. (N, 28, 28, 1) -> (N, num_classes) logits

    Args:
        num_classes: how many classes to tell apart.
        width: scales the channels (6, 16) and the units (120, 84).
        dropout: the probability of dropping a unit before each of the last two layers.
        seed: of the initial weights (He normal) and the dropout masks.
    """

    def __init__(self, num_classes=10, width=1.0, dropout=0.0, seed=0):
        conv, linear, drop, _ = _makers(seed, dropout)
        c1, c2, h1, h2 = (max(1, round(units * width)) for units in (6, 16, 120, 84))
        super().__init__(
            conv1=conv(1, c1, 5, padding=2), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
            conv2=conv(c1, c2, 5), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2), flatten=nn.Flatten(),
            fc3=linear(25 * c2, h1), relu3=nn.ReLU(), drop3=drop(),
            fc4=linear(h1, h2), relu4=nn.ReLU(), drop4=drop(),
            fc5=linear(h2, num_classes),
        )  # fmt: skip


class MLP(nn.Sequential):
    """The perceptron of AdaSmooth's experiments (Lu 2022, section 4): F128, dropout, F10.

    (N, 28, 28, 1) -> (N, 10) logits. `seed` is that of the weights (He normal) and the dropout masks.
    """

    def __init__(self, seed=0, dropout=0.5):
        _, linear, drop, _ = _makers(seed, dropout)
        super().__init__(flatten=nn.Flatten(), fc1=linear(784, 128), relu1=nn.ReLU(), drop1=drop(), fc2=linear(128, 10))


class CNN(nn.Sequential):
    """The convolutional network of AdaSmooth's experiments (Lu 2022, section 4): C(5×5, 10), max pool 2,
    C(5×5, 20), max pool 2, dropout, F50, dropout, F10; ReLU after each pool and F50.

    (N, 28, 28, 1) -> (N, 10) logits. `seed` is that of the weights (He normal) and the dropout masks.
    """

    def __init__(self, seed=0, dropout=0.5):
        conv, linear, drop, _ = _makers(seed, dropout)
        super().__init__(
            conv1=conv(1, 10, 5), pool1=nn.MaxPool2d(2), relu1=nn.ReLU(),
            conv2=conv(10, 20, 5), pool2=nn.MaxPool2d(2), relu2=nn.ReLU(), drop2=drop(), flatten=nn.Flatten(),
            fc3=linear(320, 50), relu3=nn.ReLU(), drop3=drop(),
            fc4=linear(50, 10),
        )  # fmt: skip
