"""The report: the executed notebooks put together and rendered as one page."""

import re
from pathlib import Path

import nbformat
from latex2mathml.converter import convert as latex_to_mathml
from nbconvert import HTMLExporter
from nbconvert.preprocessors import Preprocessor


def assemble(frame, chapters, published):
    """One notebook of many: the opening of `frame`, a table of contents, the chapters, the conclusion of `frame`.

    Cells tagged `published` interpret the published study, and are left out of a report of other runs; cells tagged
    `demonstration` say what such a report is, and are left out of the published one. Headings of chapters go one level
    down.

    Args:
        frame: path of the notebook with the title; its cells from the one tagged `conclusion` on come last.
        chapters: paths of executed notebooks, in order.
        published: whether the runs are those of the published study.
    """

    def cells(path):
        left_out = "demonstration" if published else "published"
        return [
            cell for cell in nbformat.read(path, as_version=4).cells if left_out not in cell.metadata.get("tags", [])
        ]

    frame_cells, body, contents = cells(frame), [], []
    ends = [index for index, cell in enumerate(frame_cells) if "conclusion" in cell.metadata.get("tags", [])]
    opening, conclusion = frame_cells[: ends[0]], frame_cells[ends[0] :]
    for path in map(Path, chapters):
        chapter = cells(path)
        title = re.match(r"# (.+)", chapter[0].source)[1]
        contents.append(f"- [{title}](#{path.stem})")
        for cell in chapter:
            if cell.cell_type == "markdown":
                text = re.sub(r"^#(?=#* )", "##", cell.source, flags=re.MULTILINE)
                text = re.sub(r"^#+ Facts$", rf'<a id="{path.stem}-facts"></a>\n\n\g<0>', text, flags=re.MULTILINE)
                cell.source = re.sub(r"\]\(#facts(?=\s)", f"](#{path.stem}-facts", text)
        chapter[0].source = f'<a id="{path.stem}"></a>\n\n{chapter[0].source}'
        body += chapter
    table = nbformat.v4.new_markdown_cell("\n".join([*contents, "- [Conclusion](#Conclusion)"]))
    notebook = nbformat.v4.new_notebook(cells=[*opening, table, *body, *conclusion])
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index}"
    return notebook


class MathToMathML(Preprocessor):
    """Turn $...$ and $$...$$ of Markdown cells into MathML, which browsers draw without a script."""

    formula = re.compile(r"```.*?```|`[^`]*`|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+?)\$", re.DOTALL)

    def preprocess_cell(self, cell, resources, index):
        def mathml(match):
            if match["block"]:
                return "\n\n" + latex_to_mathml(match["block"].strip(), display="block") + "\n\n"
            return latex_to_mathml(match["inline"]) if match["inline"] else match[0]

        if cell.cell_type == "markdown":
            cell.source = self.formula.sub(mathml, cell.source)
        return cell, resources


def export_html(notebook, path, title):
    """Render a notebook as one self-contained page, its code left out.

    Figures are inside as data, formulas are MathML, there is no script, and nothing is loaded from anywhere.
    """
    notebook.metadata["title"] = title
    exporter = HTMLExporter(
        template_name="report",
        extra_template_basedirs=[str(Path(__file__).with_name("templates"))],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    exporter.register_preprocessor(MathToMathML, enabled=True)
    page, _ = exporter.from_notebook_node(notebook)
    Path(path).write_text(page)
