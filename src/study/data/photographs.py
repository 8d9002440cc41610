"""A photograph: what is known of it before it is opened, and how it is made ready, cropped to its car and resized.

It has one outcome at least, a few words that are counted: "as it was", what was converted, or why it was refused.
Nothing that one file holds stops the others.
"""

import hashlib
import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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
    read: object  # () -> bytes
    size: int  # bytes, of it or of the file it is in: a changed file is another collection
    box: tuple | None = None  # left, top, right, bottom of the car: int, pixels, or float, fractions of the sides


def examples(photographs, size, about):
    """Make photographs ready, in order and on all cores; yields what `study.data.prepare` stores of each.

    Counts in about["outcomes"] what became of each, and lists in about["refused"] those that cannot be used
    ("file: why"), as which counts every copy of a photograph but the first. A ConfigError at the end, if all of a
    split are refused."""
    seen = {}

    def make(photograph):
        try:
            data = photograph.read()
        except OSError as error:
            return None, [f"refused: {error.strerror or 'cannot be read'}"], (0, 0), None
        return *shrink(data, size, photograph.box), hashlib.sha256(data).digest()

    with ThreadPoolExecutor() as threads:  # Pillow decodes and resizes outside the interpreter lock
        for each, (image, done, sides, content) in zip(photographs, threads.map(make, photographs), strict=True):
            name = each.name.encode("utf-8", "backslashreplace").decode()
            if image and seen.setdefault(content, each) is not each:
                image, done = None, [f"refused: the same photograph is in {seen[content].split}"]
            about["outcomes"].update(done)
            if image:
                yield {"image": image, "label": each.label, "file": name, "sides": sides, "given": each.split}
            else:
                about["refused"].append(f"{name}: {done[0].removeprefix('refused: ')}")
    if missing := {each.split for each in photographs} - {each.split for each in seen.values()}:
        raise ConfigError(f"not one readable image for {' and '.join(sorted(missing))}, of {len(photographs)} in all")


def shrink(data, size, box=None):
    """A photograph, given its bytes, as JPEG of size × size pixels, and what had to be done.

    The `box` is as in `Photograph`, in pixels as stored; None is the whole picture. It is squeezed into a square.
    Returns (JPEG, outcomes, sides): bytes, or None if the photograph is refused; a list of str, never empty; width and
    height of what was resized, in pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's about odd metadata, and about sizes: LARGEST is stricter
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > LARGEST:
                    raise Image.DecompressionBombError
                image.load()
                turn = UPRIGHT.get(image.getexif().get(0x0112))
                upright = turn is None or box is not None  # a box is of the pixels as they are stored
                image, converted = rgb(image if upright else image.transpose(turn))
    except Exception as error:  # what Pillow raises on damaged files is no closed list
        why = {Image.DecompressionBombError: f"more than {LARGEST // 1_000_000} million pixels"}
        why |= {Image.UnidentifiedImageError: "not an image" if data else "empty file"}
        return None, [f"refused: {why.get(type(error), 'truncated or damaged')}"], (0, 0)
    box = [0, 0, *image.size] if box is None else list(box)
    if isinstance(box[0], float):
        box = np.round(np.multiply(box, image.size * 2)).astype(int).tolist()
    left, top, right, bottom = inside = np.clip(box, 0, image.size * 2).tolist()
    if (least := min(right - left, bottom - top)) < SMALLEST:
        why = f"less than {SMALLEST} pixels wide or high" if least > 0 else "the box lies outside the image"
        return None, [f"refused: {why}"], (0, 0)
    turned = [] if upright else ["turned upright, as its EXIF says"]
    cut = [] if inside == box else ["box cut off at the image's edge"]
    image, buffer = image.crop(inside), io.BytesIO()
    image.resize((size, size), Image.Resampling.LANCZOS).save(buffer, "jpeg", quality=92)
    return buffer.getvalue(), turned + converted + cut or ["as it was"], image.size


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
