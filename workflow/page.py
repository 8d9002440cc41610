"""The report: the executed notebooks put together and rendered as one page. The published one is docs/index.html."""

import os
import re
from base64 import b64encode
from pathlib import Path

import nbformat
from latex2mathml.converter import convert as latex_to_mathml
from nbconvert import HTMLExporter

from study.config import PROJECT

FORMULA = re.compile(r"```.*?```|`[^`]*`|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+?)\$", re.DOTALL)
LINK, HEADING = re.compile(r"\]\((?!https?:)([^)\s#]*)(#[^)\s]*)?"), re.compile(r"^(#+) (.+)$", re.MULTILINE)


def chapter(path, *left_out):
    """The cells of an executed notebook, or of a Markdown file, without those of these tags."""
    if path.suffix == ".md":
        return [nbformat.v4.new_markdown_cell(path.read_text())]
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if not {"injected-parameters", *left_out} & set(cell.metadata.get("tags", []))]


def to_mathml(match):
    """A formula of Markdown as MathML, which browsers draw without a script."""
    if match["block"]:
        return "\n\n" + latex_to_mathml(match["block"].strip(), display="block") + "\n\n"
    return latex_to_mathml(match["inline"]) if match["inline"] else match[0]


def assemble(frame, chapters, page, published):
    """One notebook of many: the opening of `frame`, the chapters, `frame` from its cell tagged `conclusion` on.

    Cells tagged `published` interpret the published study, and are left out of a report of other runs; cells tagged
    `demonstration` say what such a report is, and are left out of the published one. A cell tagged `caption` is the
    caption of the figure before it. Headings of chapters go one level down, and links are made to hold from `page`.
    """
    stems, contents, made = {Path(each).stem for each in chapters}, {}, []
    left_out = "demonstration" if published else "published"

    def from_page(path):
        return os.path.relpath(path.resolve(), Path(page).resolve().parent)

    def cells():
        for cell in chapter(Path(frame), left_out):
            if "conclusion" in cell.metadata.get("tags", []):
                yield from ((Path(each), cell) for each in chapters for cell in chapter(Path(each), left_out))
            yield Path(frame), cell

    def link(match):
        if match[1]:  # to a chapter, or to a file
            target = folder / match[1]
            return f"](#{target.stem}" if target.stem in stems else f"]({from_page(target)}{match[2] or ''}"
        return f"](#{stem}-{match[2][1:]}" if stem in stems else match[0]

    def heading(match):
        name = f"{stem}-{re.sub('[^a-z0-9]+', '-', match[2].lower())}" if stem in contents else stem
        while name in contents:
            name += "-"
        file = folder / path.name
        whence = f"\n\n[{folder.name}/{path.name}]({from_page(file)})" if name == stem and stem in stems else ""
        contents[name] = len(match[1]) + (stem in stems), match[2]
        return f'{"#" * contents[name][0]} <span id="{name}"></span>{match[2]}{whence}'

    for path, cell in cells():
        stem, folder = path.stem, path.parent if path.suffix == ".md" else PROJECT / "notebooks"
        if cell.cell_type == "markdown":
            cell.source = HEADING.sub(heading, LINK.sub(link, FORMULA.sub(to_mathml, cell.source)))
        for output in cell.get("outputs", []) if published else []:
            for picture in output.get("metadata", {}).values():  # pictures of what is kept are in figures/
                png = (PROJECT / "figures" / f"{picture.figure}.png").read_bytes()
                output.data.setdefault("image/png", b64encode(png).decode())
        if "caption" in cell.metadata.get("tags", []):
            made[-1].metadata["caption"] = cell.source
        else:
            made.append(cell)
            cell["id"] = f"cell-{len(made)}"
    return nbformat.v4.new_notebook(cells=made, metadata={"contents": contents})


def export_html(notebook, page, title, digest=""):
    """Render a notebook as one page: figures are inside, there is no script, and nothing is loaded from anywhere."""
    notebook.metadata |= {"title": title, "made_from": digest}
    templates = [str(Path(__file__).with_name("templates"))]
    exporter = HTMLExporter(template_name="report", extra_template_basedirs=templates, exclude_anchor_links=True)
    html, names = exporter.from_notebook_node(notebook)[0], {}
    # pandas calls its tables at random
    html = re.sub("T_[0-9a-f]{5}", lambda each: names.setdefault(each[0], f"T_{len(names)}"), html)
    html = re.sub(r"<th([^>]*)>(?:&nbsp;|\s)*</th>", r"<td\1></td>", html)  # a heading of nothing
    Path(page).write_text(html)
