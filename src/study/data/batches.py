"""From images to batches: which view of an image the network gets, in which order, and how it is normalised."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image


def stored_size(image_size):
    """Height and width of the stored images, from which crops of `image_size` are drawn."""
    return image_size + image_size // 8


def normalisation(images):
    """Mean and standard deviation of each channel of uint8 images. (N, S, S, C) -> (C,), (C,) float32"""
    sample = images[:: max(1, len(images) // 1000)].reshape(-1, images.shape[-1])
    return sample.mean(axis=0, dtype=np.float64).astype(np.float32), sample.std(axis=0).astype(np.float32)


def augment(images, size, generator, zoom=1.0, colour=0.0):
    """A random crop of each image, of `size` pixels as they are or, with `zoom` or `colour`, as in `distort`; flipped
    half of the time. (N, S, S, 3) -> (N, size, size, 3)"""
    count, margin = len(images), images.shape[1] - size
    if zoom < 1 or colour:
        crops = distort(images, size, generator, zoom, colour)
    else:
        corners = sliding_window_view(images, (size, size), axis=(1, 2))  # (N, ·, ·, 3, size, size)
        top, left = generator.integers(0, margin + 1, (2, count))
        crops = corners[np.arange(count), top, left].transpose(0, 2, 3, 1)
    flip = generator.random(count) < 0.5
    return np.where(flip[:, None, None, None], crops[:, :, ::-1], crops)


def distort(images, size, generator, zoom, colour):
    """Crops whose height and width are random shares, `zoom` to 1, of the image's, resized; of each the contrast is
    changed by a random factor 1 ± `colour` and every channel's brightness by up to ± `colour` of half the range.
    (N, S, S, 3) uint8 -> (N, size, size, 3) uint8"""
    count, whole = images.shape[:2]
    sides = whole * generator.uniform(zoom, 1, (count, 2))
    first = (whole - sides) * generator.random((count, 2))
    boxes = np.concatenate([first, first + sides], axis=1).clip(0, whole)
    contrast = 1 + colour * generator.uniform(-1, 1, (count, 1, 1))
    brightness = 128 * (1 + colour * generator.uniform(-1, 1, (count, 3, 1)))
    shades = (contrast * (np.arange(256) - 128) + brightness).clip(0, 255).astype(np.uint8).reshape(count, -1)
    crops = np.empty((count, size, size, 3), np.uint8)
    for image, box, table, crop in zip(images, boxes, shades, crops, strict=True):
        resized = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, tuple(box))
        crop[:] = resized.point(table.tolist()) if colour else resized
    return crops


def views(images, size, count=1):
    """What a trained network looks at: of each image the middle, or with a `count` of 10 also the corners, and all five
    mirrored (AlexNet's paper, section 4.1). (N, S, S, 3) -> `count` times (N, size, size, 3)"""
    last = images.shape[1] - size
    corners = [(0, 0), (0, last), (last, 0), (last, last)] if count == 10 else []
    for top, left in [(last // 2, last // 2), *corners]:
        crop = images[:, top : top + size, left : left + size]
        yield from (crop, crop[:, :, ::-1]) if count == 10 else (crop,)


def batches(split, size, batch_size, seed, epoch=0, augmented=True, start=0, **distortion):
    """One epoch in random order: (images, labels) with images (batch_size, size, size, 3) uint8. The order depends on
    the seed and the epoch, crops, flips and `distortion` on the batch's index besides: from `start` on the batches are
    the same as without it. The last, incomplete one is left out: all steps are of one size, and compiled once."""
    order = np.random.default_rng((seed, epoch)).permutation(len(split))
    for index in range(start, len(order) // batch_size):
        chosen = order[index * batch_size : (index + 1) * batch_size]
        images, generator = split.images[chosen], np.random.default_rng((seed, epoch, index))
        images = augment(images, size, generator, **distortion) if augmented else next(views(images, size))
        yield images, split.labels[chosen]
