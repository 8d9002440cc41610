"""The notebooks in Jupyter, as a reader opens them: `make lab` and a real browser."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import nbformat
import pytest

pytestmark = pytest.mark.slow

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.fixture(scope="module")
def lab(project):
    """The address of a running `make lab`, up to the path, and the token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"VIRTUAL_ENV": sys.prefix, "PYTHONPATH": str(project / "src"), "MPLBACKEND": "agg"}
    environment |= {f"JUPYTER_{name}_DIR": str(project / "build" / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = ["make", "lab", f"LAB=--no-browser --allow-root --port={port} --IdentityProvider.token=secret"]
    server = subprocess.Popen(command, cwd=project, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.5)
    yield f"http://127.0.0.1:{port}/lab", "token=secret"
    os.killpg(server.pid, signal.SIGTERM)
    server.wait()


@pytest.fixture
def page():
    if not os.access(CHROMIUM, os.X_OK):
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium, or set CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1440, "height": 900})
        browser.close()


def run_all(page, path, seconds):
    """Run all cells of the notebook that a page shows, and save it. -> its cells, once all are run"""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        page.wait_for_timeout(2000)
        page.keyboard.press("Control+s")
        try:
            code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        except nbformat.reader.NotJSONError:  # it is just being written
            continue
        if code[-1].execution_count or any(each.output_type == "error" for cell in code for each in cell.outputs):
            break
    return code


def figures(cells):
    return [each for cell in cells for each in cell.outputs if "image/png" in each.get("data", {})]


@pytest.mark.parametrize(("name", "pictures"), [("02_nunes", 1), ("05_train", 2)])
def test_a_notebook_runs_to_its_end(name, pictures, page, lab, project):
    address, token = lab
    page.goto(f"{address}/tree/notebooks/{name}.ipynb?{token}")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
    cells = run_all(page, project / "notebooks" / f"{name}.ipynb", seconds=400)
    outputs = [each for cell in cells for each in cell.outputs]
    assert not [each for each in outputs if each.output_type == "error" or each.get("name") == "stderr"]
    assert all(cell.execution_count for cell in cells)
    assert len(figures(cells)) == pictures
    bars = [each for each in outputs if "application/vnd.jupyter.widget-view+json" in each.get("data", {})]
    assert bool(bars) == (name == "05_train")  # the live bar of a training


def test_the_lab_shows_the_notebooks_and_their_links_lead_somewhere(page, lab):
    address, token = lab
    page.goto(f"{address.removesuffix('/lab')}/?{token}")
    page.locator(".jp-DirListing-content").get_by_text("05_train.ipynb").wait_for(timeout=60_000)
    page.goto(f"{address}/tree/notebooks/05_train.ipynb?{token}")
    page.get_by_role("link", name="src/study/config.py").click(timeout=60_000)
    page.locator(".jp-FileEditor").get_by_text("What a run is").first.wait_for(timeout=60_000)
