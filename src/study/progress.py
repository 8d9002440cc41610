"""A live bar for a person at a terminal."""

import sys
from types import SimpleNamespace


def progress_bar(total, done=0, unit="step"):
    """A tqdm bar with `update`, `clear` and `close`; where nobody watches, it does nothing."""
    try:
        from tqdm import tqdm
    except ImportError:  # on a bare machine
        return SimpleNamespace(update=lambda: None, clear=lambda: None, close=lambda: None)
    return tqdm(total=total, initial=done, unit=unit, disable=not sys.stderr.isatty())
