"""Words and numbers: what README and notebooks say of the runs is what the notebooks' facts hold.

A number that comes from a run is a link: its text the number as printed, its title the fact's key and, where the
sentence claims a direction, a word for it: [−1.7 points](notebooks/06_convergence.ipynb "body.accuracy.A-B worse").
"""

import math
import re

import nbformat
import pytest

from study.config import PROJECT
from study.results import load_facts
from study.statistics import Estimate

FACTS = PROJECT / "data" / "results" / "facts.csv"
MARKED = re.compile(r"<!-- results:begin -->\n(.*?)<!-- results:end -->", re.DOTALL)
LINK = re.compile(r"\[([^\]\[]+)\]\(([^)\s]+)\s+\"([^\"]+)\"\)")
NUMBER = re.compile(r"[−+-]?\d[\d,]*(?:\.\d+)?")
WORDS = {"worse": None, "better": None, "lower": -1, "higher": 1, "behind": None, "ahead": None, "equal": 0}
READMES = [PROJECT / "README.md", PROJECT / "README.ru.md"]
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


def agrees(text, fact, claim=""):
    """Whether a text says what a fact says: its numbers are the value, then the ends of the interval, rounded as they
    stand there. With a claim of a direction the interval must exclude zero, and the sign may stand in the word."""
    numbers = [each.replace(",", "").replace("−", "-") for each in NUMBER.findall(text)]
    if not numbers or claim not in {"", *WORDS}:
        return False
    direction = int(fact.low > 0) - int(fact.high < 0)  # 0 if the interval holds zero, or there is none
    better = 1 if fact.unit.startswith(("%", "points")) else -1  # of accuracy more is better, of loss less
    signs = {"better": better, "ahead": better, "worse": -better, "behind": -better}
    if claim and direction != signs.get(claim, WORDS[claim]):
        return False
    for number, exact in zip(numbers, fact[:3], strict=False):
        decimals = len(number.partition(".")[2])
        allowed = {round(exact, decimals), abs(round(exact, decimals)) if claim else math.nan}
        if float(number) not in allowed:
            return False
    return True


def test_agreement():
    fact = Estimate(-1.66, -2.7, -0.61, 10, "points", True)
    assert agrees("−1.7 points (−2.7 to −0.6)", fact, "worse")
    assert agrees("1.7 points", fact, "worse")
    assert agrees("−2", fact)
    assert not agrees("1.7 points", fact)  # the sign is missing
    assert not agrees("−1.6", fact)
    assert not agrees("−1.7 (−2.8 to −0.6)", fact)
    assert not agrees("some", fact)
    assert not agrees("−1.7", fact, "higher")
    assert not agrees("−1.7", fact, "nicer")
    assert not agrees("−0.3", Estimate(-0.3, -1.7, 1.1, 3), "worse")  # the interval holds zero
    assert not agrees("1.7", Estimate(1.7, 0.6, 2.7, 10, "points", True), "worse")
    assert agrees("0.046", Estimate(0.046, 0.03, 0.06, 10, "", True), "worse")
    assert not agrees("2", Estimate(2, 1, 3), "equal")
    assert agrees("5,720", Estimate(5720))
    assert not agrees("5,721", Estimate(5720))


def texts():
    yield from ((path.name, path.read_text()) for path in READMES if path.exists())
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        yield path.name, "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize(("name", "text"), [*texts()], ids=lambda value: value if len(value) < 40 else "")
def test_numbers_in_prose_are_their_facts(name, text):
    facts = load_facts(FACTS)
    wrong = []
    for words, target, title in LINK.findall(text):
        title = " ".join(title.split())
        key, claim = title, ""
        if title not in facts:
            key, _, claim = title.rpartition(" ")
        if key not in facts:
            wrong.append(f"{title!r} is no fact")
        elif not agrees(words, facts[key], claim):
            wrong.append(f"{words!r} is not {key} {facts[key]!r} {claim}")
        if target != "#facts" and not (PROJECT / target.split("#")[0]).exists():
            wrong.append(f"{target} is not there")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_no_decimal_of_a_readme_is_linked_to_nothing(path):
    text = MARKED.sub("", path.read_text())
    text = re.sub(r"```.*?```|`[^`]*`|<!--.*?-->", "", LINK.sub("", text), flags=re.DOTALL)
    text = re.sub(r"\(https?://[^)]*\)|arXiv [\d.]+|\]\([^)]*\)", "", text)
    assert re.findall(r"\d+[.,]\d+", text.replace("≥ 3.11", "").replace("3.11", "")) == []


def test_the_readmes_table_is_of_the_facts():
    facts, (table,) = load_facts(FACTS), MARKED.findall((PROJECT / "README.md").read_text())
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert len(rows) == 6
    for arm, accuracy, loss, runs in rows:
        assert accuracy == str(facts[f"body.accuracy.{arm}"])
        assert loss == str(facts[f"body.loss.{arm}"])
        assert int(runs) == facts[f"body.accuracy.{arm}"].n


def test_the_readme_fits_a_reader():
    text = (PROJECT / "README.md").read_text()
    assert len(text.encode()) <= 8192
    prose = re.sub(r"```.*?```|<!--.*?-->", "", LINK.sub(r"\1", text), flags=re.DOTALL)
    words = re.sub(r"\]\([^)]*\)", "]", prose).split()
    assert len([word for word in words if re.search(r"\w", word)]) <= 900
    assert text.count("![") <= 8
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    for target in targets:
        if "://" not in target:
            assert (PROJECT / target).exists(), target
    assert {path.name for path in NOTEBOOKS} == {t.split("/")[-1] for t in targets if t.endswith(".ipynb")}
