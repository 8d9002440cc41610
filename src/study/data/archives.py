"""What lies in a folder (`Folder`), and archives, unpacked once under `data/raw/` and never outside it (`unpack`); what
files are called and hold reaches messages as plain text, in one line (`plain`, `reading`)."""

import contextlib
import os
import re
import shutil
import tarfile
import tempfile
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

from PIL import Image

from study.config import ConfigError, check, digest, project_path

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")
LARGEST, RATIO, HARMLESS, MEMBERS = 50 * 10**9, 100, 10**8, 100_000  # bytes, times the archive's, bytes at any ratio
PICTURES = tuple(each for each, form in Image.registered_extensions().items() if "image/" in Image.MIME.get(form, ""))
# Hidden folders, and what file servers, browsers of pictures and systems put beside photographs.
IGNORED = re.compile(r"[.@].*|__(macosx|pycache__)|incomplete\..*|[#$]recycle.*|_?thumb(nail)?s?|lost\+found", re.I)


def plain(text):
    """A text from outside in one line: composed as one types it, and what does not print as an escape."""
    text = unicodedata.normalize("NFC", str(text))
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


@contextlib.contextmanager
def reading(complaint):
    """Whatever goes wrong inside is a ConfigError of one line: the complaint, and why."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # what the readers of damaged files raise is no closed list
        raise ConfigError(f"{complaint}: {plain(error) or type(error).__name__}") from None


class Folder:
    """What lies in a folder, and in `others` as if it lay there: files by their path, and counted what is left out."""

    def __init__(self, root, *others):
        self.root, self.files, self.outcomes, closed = Path(root).resolve(), {}, Counter(), []
        for root in map(Path.resolve, (self.root, *others)):
            # huggingface_hub's snapshots/<commit>/ consist of links to ../../blobs/: these do not lead out.
            homes = [root, *(each.with_name("blobs") for each in root.parents if each.name == "snapshots")]
            for here, folders, names in os.walk(root, onerror=closed.append):
                folders[:] = sorted(each for each in folders if not IGNORED.fullmatch(each))
                self.outcomes["links to folders, not followed"] += sum(Path(here, one).is_symlink() for one in folders)
                for path in [Path(here, name) for name in sorted(names) if not name.startswith(".")]:
                    if path.is_symlink() and not any(map(path.resolve().is_relative_to, homes)):
                        self.outcomes["links that lead out of the folder"] += 1
                    elif path.is_file():
                        self.files[path.relative_to(root).as_posix()] = path
        for error in closed:
            check(Path(error.filename) != self.root, f"cannot read {error.filename!r}: {error.strerror}")
        self.outcomes["unreadable folders"] += len(closed)

    def having(self, endings):
        """{path below the folder: path} of the files with one of these endings."""
        return {name: path for name, path in self.files.items() if name.lower().endswith(endings)}


def unpack(archives, root, undo):
    """Unpack archives once into one folder, each under its own name in its folder below `root`; returns the folder. The
    ExitStack `undo` is given its removal, if it is new. A ConfigError, and nothing left behind, if an archive is
    damaged, has members that would lie outside the folder, or goes beyond the limits above or the space there is."""
    about = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in archives]
    target = project_path("data/raw") / f"{archives[0].name.split('.')[0]}-{digest(about)}"
    if target.exists():
        return target
    with reading(f"cannot unpack into {str(target.parent)!r}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="incomplete.", dir=target.parent) as folder:
            for path in archives:
                print(f"unpacking {plain(path.name)} into {plain(target)} (once) ...", flush=True)
                with reading(f"cannot unpack {str(path)!r}"):
                    _unpack(path, Path(folder, "all", path.parent.relative_to(root), path.name.split(".")[0]))
            if not target.exists():  # else of two processes that unpack, the other was first
                Path(folder, "all").rename(target)
                undo.callback(shutil.rmtree, target, ignore_errors=True)
    return target


def _unpack(path, folder):
    folder.mkdir(parents=True, exist_ok=True)
    zipped, needed, name, size = zipfile.is_zipfile(path), 0, repr(str(path)), path.stat().st_size
    most, free = min(LARGEST, max(HARMLESS, RATIO * size)), shutil.disk_usage(folder).free
    with zipfile.ZipFile(path) if zipped else tarfile.open(path) as archive:
        members = archive.infolist() if zipped else archive  # a .tar is read member by member, no further than allowed
        for number, each in enumerate(members, 1):
            if zipped:  # Windows PowerShell writes train\\class\\1.png
                each.filename = each.filename.replace("\\", "/")
            member, needed = (each.filename, needed + each.file_size) if zipped else (each.name, needed + each.size)
            outside = member.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", member)
            check(not outside, f"{name} is not safe: its member {member!r} would lie outside the folder")
            check(number <= MEMBERS, f"{name} is not safe: it has more than {MEMBERS:,} members")
            check(needed <= most, f"{name} is not safe: its {size:,} bytes hold more than {most:,}")
        check(needed <= free, f"{name} needs {needed / 1e9:.1f} GB of space, {str(folder)!r} has {free / 1e9:.1f}")
        archive.extraction_filter = tarfile.data_filter  # refuses links that lead out, devices, and odd permissions
        archive.extractall(folder, members)
