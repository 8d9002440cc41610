"""A photograph: what is known of it before it is opened, and how it is made ready: cropped to its car and resized, or
refused with a reason.

Every photograph has one outcome at least, a few words that are counted: "as it was", what was converted, or why it was
refused. Nothing that one file holds stops the others.
"""

import hashlib
import io
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from PIL.Image import Transpose as Turn

from study.config import ConfigError

UPRIGHT = dict(zip(range(2, 9), (Turn.FLIP_LEFT_RIGHT, Turn.ROTATE_180, Turn.FLIP_TOP_BOTTOM, Turn.TRANSPOSE,
                                  Turn.ROTATE_270, Turn.TRANSVERSE, Turn.ROTATE_90), strict=True))  # fmt: skip
SMALLEST = 8  # pixels: a side less than this shows no car
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # not every plugin for whatever calls itself .jpg
LARGEST = 64_000_000  # pixels: more is a decompression bomb, not a photograph of a car


@dataclass(frozen=True)
class Photograph:
    """One photograph and what is known of it before it is opened."""

    name: str  # where it lies, below the collection's folder
    label: int  # index among the class names
    split: str  # "train" or "test"
    read: Callable[[], bytes] = field(compare=False)
    box: tuple | None = None  # left, top, right, bottom of the car: int, pixels, or float, fractions of the sides
    size: int = 0  # bytes, where known without reading it: a changed file is another collection


class Refused(Exception):
    """Why a photograph cannot be used."""


def examples(photographs, size, outcomes, refused):
    """Make photographs ready, in order and on all cores; yields what `study.data.prepare` stores of each.

    Counts what became of each in `outcomes`, and lists in `refused` those that cannot be used ("file: why"), as which
    counts every copy of a photograph but the first.

    Raises:
        ConfigError: at the end, if there was none that could be used of a split.
    """
    seen, splits = {}, set()

    def make(photograph):
        try:
            data = photograph.read()
        except OSError as error:
            return None, [f"refused: {error.strerror or 'cannot be read'}"], (0, 0), None
        return *shrink(data, size, photograph.box), hashlib.sha256(data).digest()

    with ThreadPoolExecutor() as threads:  # Pillow decodes and resizes outside the interpreter lock
        for photograph, made in zip(photographs, threads.map(make, photographs), strict=True):
            image, done, sides, content = made
            name, split = photograph.name.encode("utf-8", "backslashreplace").decode(), photograph.split
            if image and seen.setdefault(content, (name, split))[0] != name:
                image, done = None, [f"refused: the same photograph is in {seen[content][1]}"]
            outcomes.update(done)
            if image:
                splits.add(split)
                yield {"image": image, "label": photograph.label, "file": name, "sides": sides, "given": split}
            else:
                refused.append(f"{name}: {done[0].removeprefix('refused: ')}")
    if missing := {each.split for each in photographs} - splits:
        raise ConfigError(f"not one readable image for {' and '.join(sorted(missing))} ({len(refused)} refused)")


def shrink(data, size, box=None):
    """A photograph as JPEG of size × size pixels, and what had to be done.

    Args:
        data: the bytes of the file.
        size: height and width in pixels; the car is squeezed into a square.
        box: (left, top, right, bottom) of the car, in pixels as stored or in fractions of the sides, or None for the
            whole picture.

    Returns:
        (JPEG, outcomes, sides): bytes, or None if the photograph is refused; a list of str, never empty; width and
        height of what was resized, in pixels.
    """
    try:
        if not data:
            raise Refused("empty file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's about odd metadata, and about sizes: LARGEST is stricter
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > LARGEST:
                    raise Image.DecompressionBombError
                image, outcomes = _crop(image, box)
                buffer = io.BytesIO()
                image.resize((size, size), Image.Resampling.LANCZOS).save(buffer, "jpeg", quality=92)
        return buffer.getvalue(), outcomes or ["as it was"], image.size
    except Exception as error:  # what Pillow raises on damaged files is no closed list
        large = f"more than {LARGEST // 1_000_000} million pixels"
        known = {Image.UnidentifiedImageError: "not an image", Image.DecompressionBombError: large, Refused: str(error)}
        return None, [f"refused: {known.get(type(error), 'truncated or damaged')}"], (0, 0)


def _crop(image, box):
    """What an opened picture shows, or what is in its box, in RGB, and [what was done]."""
    image.load()
    outcomes, turn = [], UPRIGHT.get(image.getexif().get(0x0112))
    if turn is not None and box is None:  # a box is of the pixels as they are stored
        image = image.transpose(turn)
        outcomes.append("turned upright, as its EXIF says")
    image, converted = rgb(image)
    box = box or (0, 0, *image.size)
    if isinstance(box[0], float):
        box = tuple(round(part * side) for part, side in zip(box, image.size * 2, strict=True))
    left, top, right, bottom = inside = *np.maximum(box[:2], 0), *np.minimum(box[2:], image.size)
    if right <= left or bottom <= top:
        raise Refused("the box lies outside the image")
    if min(right - left, bottom - top) < SMALLEST:
        raise Refused(f"less than {SMALLEST} pixels wide or high")
    cut = ["box cut off at the image's edge"] if inside != tuple(box) else []
    return image.crop(inside), outcomes + converted + cut


def rgb(image):
    """A Pillow image of any mode as RGB, and [what was done]. Transparent parts are laid on white."""
    if image.mode == "RGB":
        return image, []
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits: Pillow would clip at 255
        values = np.asarray(image, np.float32)
        scale = 1 / 257 if image.mode.startswith("I;16") or values.max() > 255 else 1.0
        return Image.fromarray((values * scale).clip(0, 255).astype(np.uint8)).convert("RGB"), ["from 16 bits"]
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB"), ["transparency laid on white"]
    names = {"L": "grey", "1": "black and white", "P": "palette"}
    return image.convert("RGB"), [f"from {names.get(image.mode, image.mode)}"]
