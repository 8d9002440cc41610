"""How far something is: a live bar where somebody watches, in Jupyter or a terminal; elsewhere a line now and then."""

import io
import os
import sys
import time

from tqdm import tqdm
from tqdm.auto import tqdm as fitting  # in Jupyter a widget


class Lines(tqdm):
    """A bar for a log: plain lines, at least every 30 seconds, even where nothing moves."""

    def __init__(self, *args, **options):
        self.voice, self.spoken = sys.stdout, time.monotonic()
        form = {"file": io.StringIO(), "miniters": 2, "bar_format": "{desc}{percentage:.0f} % done, {remaining} left"}
        super().__init__(*args, **options, **form)

    def display(self, msg=None, pos=None):
        """Called by tqdm after steps, and every 10 seconds by its monitor as long as there are steps to be skipped."""
        self.miniters = 2  # which the monitor sets to 1
        begun = self.n or self.iterable is None
        if begun and msg is None and time.monotonic() - self.spoken > 15:
            self.spoken = time.monotonic()
            print(self, file=self.voice, flush=True)


def bar(iterable=None, **options):
    """tqdm, in the form that fits the place; what it iterates over is not begun before it is."""
    watched = fitting if "JPY_SESSION_NAME" in os.environ else tqdm if sys.stderr.isatty() else Lines
    return watched(iterable, delay=0.5, **options)
