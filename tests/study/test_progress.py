"""Progress where nobody watches: plain lines, now and then, and none of what was not begun."""

import contextlib
import io
import time

from study import progress


def test_a_log_hears_of_a_step_and_of_a_silence(capsys, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    now = [time.monotonic()]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = progress.bar(total=4, unit="step")
    bar.set_description("epoch 1/2", refresh=False)
    with contextlib.redirect_stdout(io.StringIO()):  # as TFDS is silenced
        bar.display()
        now[0] += 16
        bar.update(2)
        bar.refresh()
        bar.refresh()  # not twice in 15 seconds
        now[0] += 16
        assert bar.miniters > 1  # else tqdm's monitor, which looks every 10 seconds, passes a bar by
        bar.refresh()  # as the monitor does where nothing moves
    bar.close()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("epoch 1/2: 50 % done, ") and line.endswith(" left") for line in lines)


def test_what_is_not_begun_says_nothing(capsys, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    bar = progress.bar((print("begun") for _ in range(3)), total=3)
    bar.spoken -= 60
    bar.refresh()
    assert capsys.readouterr().out == ""
    assert len(list(bar)) == 3


def test_in_jupyter_it_is_a_widget(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/05_train.ipynb")
    assert isinstance(progress.bar(total=3), progress.fitting)
