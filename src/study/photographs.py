"""One photograph made ready: opened whatever it is, cropped to its car, resized, or refused with a reason.

Every photograph has one outcome at least, a few words that are counted: "as it was", what was converted, or why it was
refused. Nothing that one file holds stops the others.
"""

import io
import warnings

import numpy as np
from PIL import Image
from PIL.Image import Transpose as Turn

UPRIGHT = dict(zip(range(2, 9), (Turn.FLIP_LEFT_RIGHT, Turn.ROTATE_180, Turn.FLIP_TOP_BOTTOM, Turn.TRANSPOSE,
                                  Turn.ROTATE_270, Turn.TRANSVERSE, Turn.ROTATE_90), strict=True))  # fmt: skip
SMALLEST = 8  # pixels: a side less than this shows no car
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # not every plugin for whatever calls itself .jpg
LARGEST = 64_000_000  # pixels: more is a decompression bomb, not a photograph of a car


def shrink(data, size, box=None, fractions=False):
    """A photograph as JPEG of size × size pixels, and what had to be done.

    Args:
        data: the bytes of the file.
        size: height and width in pixels; the car is squeezed into a square.
        box: (left, top, right, bottom) of the car, in pixels as stored, or None for the whole picture.
        fractions: the box is given in fractions of the sides.

    Returns:
        (JPEG, outcomes, sides): bytes, or None if the photograph is refused; a list of str, never empty; width and
        height of what was resized, in pixels.
    """
    if not data:
        return None, ["refused: empty file"], (0, 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's about odd metadata, and about sizes: LARGEST is stricter
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > LARGEST:
                    return None, [f"refused: more than {LARGEST // 1_000_000} million pixels"], (0, 0)
                if box is None and min(image.size) < SMALLEST:
                    return None, [f"refused: less than {SMALLEST} pixels wide or high"], (0, 0)
                image.load()
                return _square(image, size, box, fractions)
    except Image.UnidentifiedImageError:
        return None, ["refused: not an image"], (0, 0)
    except Image.DecompressionBombError:
        return None, [f"refused: more than {LARGEST // 1_000_000} million pixels"], (0, 0)
    except Exception:  # what Pillow raises on damaged files is no closed list, and one file must not stop the others
        return None, ["refused: truncated or damaged"], (0, 0)


def _square(image, size, box, fractions):
    outcomes = []
    turn = UPRIGHT.get(image.getexif().get(0x0112))
    if turn is not None and box is None:  # a box is of the pixels as they are stored
        image = image.transpose(turn)
        outcomes.append("turned upright, as its EXIF says")
    image, converted = rgb(image)
    outcomes += converted
    if box is not None:
        if fractions:
            box = tuple(round(part * side) for part, side in zip(box, image.size * 2, strict=True))
        left, top, right, bottom = box
        inside = max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height)
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            return None, ["refused: the box lies outside the image"], (0, 0)
        if inside != (left, top, right, bottom):
            outcomes.append("box cut off at the image's edge")
        if min(inside[2] - inside[0], inside[3] - inside[1]) < SMALLEST:
            return None, [f"refused: less than {SMALLEST} pixels wide or high"], (0, 0)
        image = image.crop(inside)
    buffer = io.BytesIO()
    image.resize((size, size), Image.Resampling.LANCZOS).save(buffer, "jpeg", quality=92)
    return buffer.getvalue(), outcomes or ["as it was"], image.size


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
