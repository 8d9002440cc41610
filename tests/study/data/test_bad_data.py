"""Whatever lies among the photographs has a defined outcome: converted, refused and counted, or one clear line."""

import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest
from PIL import Image

from study import data
from study.config import ConfigError
from study.data import archives, layouts, photographs

CLASSES = ["Acura RL Sedan 2012", "Audi TT RS Coupe 2012"]


@pytest.fixture
def cars(tmp_path):
    """A folder of 2 × 20 good photographs for training and as many for test."""
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in CLASSES:
            (tmp_path / "cars" / split / name).mkdir(parents=True)
            for index in range(20):
                pixels = generator.integers(0, 256, (2, 3, 3), np.uint8).repeat(10, 0).repeat(10, 1)
                Image.fromarray(pixels).save(tmp_path / "cars" / split / name / f"{index}.png")
    return tmp_path / "cars"


def encoded(image, form="png", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def bomb(width, height):
    """A PNG that says that it is that large, and is a few bytes long."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


PICTURE = Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8) // 2 + 60)
TURNED = Image.Exif()
TURNED[0x0112] = 6
MADE = Image.Exif()
MADE[0x0112], MADE[0x010F] = 6, "eight chars"
SIXTEEN = Image.fromarray(np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16))
CASES = {  # content, box, outcome
    "good": (encoded(PICTURE), None, "as it was"),
    "empty": (b"", None, "refused: empty file"),
    "text": (b"<html>404</html>", None, "refused: not an image"),
    "truncated jpeg": (encoded(PICTURE, "jpeg")[:-300], None, "refused: truncated or damaged"),
    "truncated png": (encoded(PICTURE)[:-200], None, "refused: truncated or damaged"),
    "half a header": (encoded(PICTURE)[:20], None, "refused: truncated or damaged"),
    "CMYK": (encoded(PICTURE.convert("CMYK"), "jpeg"), None, "from CMYK"),
    "palette": (encoded(PICTURE.convert("P")), None, "from palette"),
    "grey": (encoded(PICTURE.convert("L")), None, "from grey"),
    "alpha": (encoded(PICTURE.convert("RGBA")), None, "transparency laid on white"),
    "transparent palette": (encoded(PICTURE.convert("P"), transparency=3), None, "transparency laid on white"),
    "16 bits": (encoded(SIXTEEN), None, "from 16 bits"),
    "turned": (encoded(PICTURE, "jpeg", exif=TURNED), None, "turned upright, as its EXIF says"),
    "damaged metadata": (encoded(PICTURE, "jpeg", exif=TURNED).replace(b"Exif", b"Exig"), None, "as it was"),
    "number as maker's name": (
        encoded(PICTURE, "jpeg", exif=MADE).replace(b"\x01\x0f\x00\x02", b"\x01\x0f\x00\x05"),
        None,
        "turned upright, as its EXIF says",
    ),
    "one pixel high": (encoded(PICTURE.crop((0, 0, 60, 1))), None, "refused: less than 8 pixels wide or high"),
    "bomb": (bomb(30_000, 30_000), None, "refused: more than 64 million pixels"),
    "small bomb": (bomb(9_000, 9_000), None, "refused: more than 64 million pixels"),
    "box": (encoded(PICTURE), (10, 10, 50, 30), "as it was"),
    "box over the edge": (encoded(PICTURE), (-5, 10, 80, 30), "box cut off at the image's edge"),
    "box outside": (encoded(PICTURE), (100, 10, 120, 30), "refused: the box lies outside the image"),
    "box turned round": (encoded(PICTURE), (50, 30, 10, 10), "refused: the box lies outside the image"),
    "box of one row": (encoded(PICTURE), (10, 10, 50, 11), "refused: less than 8 pixels wide or high"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_photograph_has_an_outcome(case):
    content, box, expected = CASES[case]
    jpeg, outcomes, sides = photographs.shrink(content, 32, box)
    assert outcomes == [expected]
    assert (jpeg is None) == expected.startswith("refused")
    if jpeg:
        image = Image.open(io.BytesIO(jpeg))
        assert (image.mode, image.size) == ("RGB", (32, 32))
        assert sides == {"box": (40, 20), "box over the edge": (60, 20)}.get(
            case, (40, 60) if "turned" in expected else (60, 40)
        )


def test_what_is_converted_looks_right():
    def middle(image, **options):
        jpeg, *_ = photographs.shrink(encoded(image, **options), 32)
        return np.asarray(Image.open(io.BytesIO(jpeg)), int)

    grey = middle(SIXTEEN)[:, :, 0]
    assert grey[0].mean() < 10  # from black to white, not clipped at white after the first 256 of 65536
    assert 100 < grey[16].mean() < 155
    assert grey[-1].mean() > 245
    hidden = Image.new("RGBA", (20, 20), (255, 0, 0, 0))  # red that nobody sees
    assert (middle(hidden) > 250).all()
    cmyk = Image.new("RGB", (20, 20), (200, 40, 40)).convert("CMYK")
    assert np.abs(middle(cmyk, form="jpeg")[16, 16] - (200, 40, 40)).max() < 12
    upright = Image.new("RGB", (60, 40), "black")
    upright.paste("white", (0, 0, 60, 10))  # a white bar on top; turned by 90° to the right it is at the right
    turned = middle(upright, form="jpeg", exif=TURNED)
    assert turned[:, -3].min() > 240
    assert turned[:, 3].max() < 15


def test_a_folder_with_everything_wrong_in_it(cars, capsys):
    train = cars / "train" / CLASSES[0]
    for name, (content, box, _) in CASES.items():
        if box is None:
            (train / f"{name}.jpg").write_bytes(content)
    (train / "notes.txt").write_text("not counted: no picture")
    odd = ["ü 🚗 'quoted\" #1?.png", "new\nline.png", os.fsdecode(b"latin\xe9.png")]
    for index, name in enumerate(odd):
        Image.new("RGB", (20, 20), (index * 50, 9, 9)).save(train / name, "png")
    (cars / "train" / "linked").symlink_to(cars.parent)
    (train / "outside.jpg").symlink_to("/etc/hostname")
    copy = next((cars / "test" / CLASSES[1]).iterdir())
    (train / "copy of a test photograph.png").write_bytes(copy.read_bytes())
    found = data.load_dataset("stanford_cars", cars, "model", 67)
    good = [outcome for _, box, outcome in CASES.values() if box is None and not outcome.startswith("refused")]
    bad = [outcome for _, box, outcome in CASES.values() if box is None and outcome.startswith("refused")]
    assert sum(found.counts.values()) == 80 + len(good) + len(odd)
    for outcome in set(good + bad) - {"as it was"}:
        assert found.outcomes[outcome] == (good + bad).count(outcome), outcome
    assert found.outcomes["refused: the same photograph is in test"] == 1
    assert found.outcomes["links that lead out of the folder"] == 1
    assert found.outcomes["links to folders, not followed"] == 1
    assert len(found.refused) == len(bad) + 1
    assert any(name.endswith("latin\\udce9.png") for split in (found.train, found.validation) for name in split.files)
    printed = capsys.readouterr().out
    assert "refused train/Acura RL Sedan 2012/empty.jpg: empty file" in printed
    assert len(printed.splitlines()) <= 12
    again = data.load_dataset("stanford_cars", cars, "model", 67)  # as it was written down
    assert (again.outcomes, again.refused) == (found.outcomes, found.refused)


def test_a_folder_that_cannot_be_read_is_counted(cars, monkeypatch):
    walk = os.walk

    def denied(root, onerror):
        onerror(PermissionError(13, "Permission denied", str(cars / "train" / "locked")))
        return walk(root, onerror=onerror)

    monkeypatch.setattr(archives.os, "walk", denied)
    assert layouts.find(cars).outcomes["unreadable folders"] == 1

    def closed(root, onerror):
        onerror(PermissionError(13, "Permission denied", str(root)))
        return iter(())

    monkeypatch.setattr(archives.os, "walk", closed)
    with pytest.raises(ConfigError, match=r"cannot read '.*cars': Permission denied"):
        layouts.find(cars)


def test_a_full_disk_leaves_nothing(cars, project, monkeypatch):
    shrink, count = photographs.shrink, iter(range(1000))

    def full(*arguments):
        if next(count) == 50:
            raise OSError(28, "No space left on device")
        return shrink(*arguments)

    monkeypatch.setattr(photographs, "shrink", full)
    with pytest.raises(ConfigError, match=r"cannot write the prepared images in .*: .*No space left on device"):
        data.load_dataset("stanford_cars", cars, "model", 67)
    shutil.rmtree(project / "data" / "prepared" / "stanford_cars")
    (project / "data" / "prepared" / "stanford_cars").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"cannot write the prepared images in '.*(Not a directory|File exists)"):
        data.load_dataset("stanford_cars", cars, "model", 67)
    (project / "data" / "prepared" / "stanford_cars").unlink()
    assert not [path for path in project.rglob("*") if path.is_file()]
    monkeypatch.setattr(photographs, "shrink", shrink)
    assert sum(data.load_dataset("stanford_cars", cars, "model", 67).counts.values()) == 80


def test_a_preparation_that_is_killed_is_begun_anew(cars, project):
    program = """
        import os, sys, time
        from pathlib import Path
        from study import config, data
        from study.data import photographs
        config.PROJECT = Path(sys.argv[2])
        shrink, count = photographs.shrink, iter(range(1000))
        def slow(*arguments):
            if next(count) == 60:
                print("half way", file=sys.stderr, flush=True)
                time.sleep(60)
            return shrink(*arguments)
        photographs.shrink = slow
        data.load_dataset("stanford_cars", sys.argv[1], "model", 67)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(cars), str(project)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while "half way" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert any(path.is_dir() for path in project.rglob("incomplete.*"))  # what it left stays, and is never read
    assert sum(data.load_dataset("stanford_cars", cars, "model", 67).counts.values()) == 80


def test_names_with_html_in_them_stay_text_in_the_report(tmp_path):
    import nbformat
    from page import export_html

    name = "<script>alert(1)</script> <b>Sedan</b> & Co"
    cell = nbformat.v4.new_code_cell(f"import pandas as pd\npd.Series({{{name!r}: 1}}).to_frame()")
    notebook = nbformat.v4.new_notebook(
        cells=[cell], metadata={"kernelspec": {"name": "python3", "display_name": ""}, "contents": {}}
    )
    nbformat.write(notebook, tmp_path / "in.ipynb")
    import papermill

    papermill.execute_notebook(tmp_path / "in.ipynb", tmp_path / "out.ipynb", progress_bar=False)
    export_html(nbformat.read(tmp_path / "out.ipynb", 4), tmp_path / "out.html", name)
    html = (tmp_path / "out.html").read_text()
    assert "<script>alert" not in html
    assert "<b>Sedan" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 2  # in the table and in the title
