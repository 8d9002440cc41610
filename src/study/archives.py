"""Archives of photographs, unpacked once under `data/raw/`, and never outside it."""

import contextlib
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from study.config import PROJECT, ConfigError, digest

SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz")


def is_archive(path):
    return str(path).lower().endswith(SUFFIXES)


def unpack(archives, root=None):
    """Unpack archives into one folder, each under its own name (and its folder below `root`); returns the folder.

    It is made under another name and renamed when it is complete. It is named after what is in it: the same archives
    are unpacked once.

    Raises:
        ConfigError: an archive is damaged, has members that would lie outside the folder, or needs more space than
            there is. Nothing is left behind.
    """
    about = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in archives]
    target = PROJECT / "data" / "raw" / f"{archives[0].name.split('.')[0]}-{digest(about)}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="incomplete-", dir=target.parent) as partial:
        folder = Path(partial) / target.name
        folder.mkdir()
        for path in archives:
            print(f"unpacking {path.name} into {target} (once) ...", flush=True)
            try:
                inside = path.parent.relative_to(root) if root else ""
                _unpack(path, folder / inside / path.name.split(".")[0])
            except ConfigError:
                raise
            except Exception as error:  # what zipfile, tarfile and the decompressors raise is no closed list
                raise ConfigError(f"cannot unpack {str(path)!r}: {error}") from None
        with contextlib.suppress(OSError):  # of two processes that unpack, one is first
            folder.rename(target)
    if not target.exists():
        raise ConfigError(f"cannot move what was unpacked to {str(target)!r}")
    return target


def _unpack(path, folder):
    folder.mkdir(parents=True, exist_ok=True)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check(path, folder, [(each.filename, each.file_size) for each in members])
            archive.extractall(folder)
    else:
        with tarfile.open(path) as archive:
            _check(path, folder, [(each.name, each.size) for each in archive])
            archive.extractall(folder, filter="data")  # refuses links that lead out, devices, and odd permissions


def _check(path, folder, members):
    for name, _ in members:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[:1]:
            raise ConfigError(f"{str(path)!r} is not safe: its member {name!r} would lie outside the folder")
    needed, free = sum(size for _, size in members), shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(f"{str(path)!r} needs {needed / 1e9:.1f} GB of space, {folder} has {free / 1e9:.1f}")
