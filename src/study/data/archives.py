"""What lies in a folder (`Folder`), and archives, unpacked once under `data/raw/` and never outside it (`unpack`)."""

import contextlib
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

from study.config import ConfigError, check, digest, project_path

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")
PICTURES = (".jpg", ".jpeg", ".png")


class Folder:
    """What lies in a folder and below: its files by their path, links that lead out and unreadable folders apart."""

    def __init__(self, root, *others):
        """With `others`, what lies in these too, as if it lay in the first."""
        self.root, self.files, self.outcomes = Path(root).resolve(), {}, Counter()
        for root in map(Path.resolve, (self.root, *others)):
            for here, folders, names in os.walk(root, onerror=self._unreadable):
                folders[:] = sorted(each for each in folders if not each.startswith((".", "__MACOSX", "incomplete.")))
                links = sum(Path(here, each).is_symlink() for each in folders)
                self.outcomes["links to folders, not followed"] += links
                for path in [Path(here, name) for name in sorted(names) if not name.startswith(".")]:
                    if path.is_symlink() and not path.resolve().is_relative_to(root):
                        self.outcomes["links that lead out of the folder"] += 1
                    elif path.is_file():
                        self.files[path.relative_to(root).as_posix()] = path

    def _unreadable(self, error):
        check(Path(error.filename) != self.root, f"cannot read {error.filename!r}: {error.strerror}")
        self.outcomes["unreadable folders"] += 1

    def having(self, endings):
        """{path below the folder: path} of the files with one of these endings."""
        return {name: path for name, path in self.files.items() if name.lower().endswith(endings)}


def unpack(archives, root):
    """Unpack archives into one folder, each under its own name in its folder below `root`; returns the folder.

    It is made under another name and renamed when it is complete, and named after what is in it: the same archives are
    unpacked once. A ConfigError, and nothing left behind, if an archive is damaged, has members that would lie outside
    the folder, or needs more space than there is."""
    about = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in archives]
    target = project_path("data/raw") / f"{archives[0].name.split('.')[0]}-{digest(about)}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="incomplete-", dir=target.parent) as partial:
        folder = Path(partial, target.name)
        for path in archives:
            print(f"unpacking {path.name} into {target} (once) ...", flush=True)
            try:
                _unpack(path, folder / path.parent.relative_to(root) / path.name.split(".")[0])
            except Exception as error:  # what zipfile, tarfile and the decompressors raise is no closed list
                raise ConfigError(f"cannot unpack {str(path)!r}: {error}") from None
        with contextlib.suppress(OSError):  # of two processes that unpack, one is first
            folder.rename(target)
    check(target.exists(), f"cannot move what was unpacked to {str(target)!r}")
    return target


def _unpack(path, folder):
    folder.mkdir(parents=True, exist_ok=True)
    zipped = zipfile.is_zipfile(path)
    with zipfile.ZipFile(path) if zipped else tarfile.open(path) as archive:
        listed = archive.infolist() if zipped else archive.getmembers()
        members = [(each.filename, each.file_size) if zipped else (each.name, each.size) for each in listed]
        for name, _ in members:
            inside = PurePosixPath(name.replace("\\", "/"))
            outside = inside.is_absolute() or ".." in inside.parts
            check(not outside, f"it is not safe: its member {name!r} would lie outside the folder")
        needed, free = sum(size for _, size in members), shutil.disk_usage(folder).free
        check(needed <= free, f"it needs {needed / 1e9:.1f} GB of space, {folder} has {free / 1e9:.1f}")
        archive.extraction_filter = tarfile.data_filter  # refuses links that lead out, devices, and odd permissions
        archive.extractall(folder)
