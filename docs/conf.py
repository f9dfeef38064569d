"""Configuration of the documentation: `make docs` builds it into build/site.

The build needs no network. Pages with code are executed; their outputs are kept in build/pages
until the sources change. Types link to the documentation of other packages (`inventories.py`).
"""

import hashlib
import os
import re
import shutil
import sys
from importlib.metadata import files
from pathlib import Path

from docutils import nodes

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS), str(ROOT)]

import generated_pages  # noqa: E402
import inventories  # noqa: E402

import pyvda  # noqa: E402

project = "pyvda"
author = "pyvda developers"
copyright = author
version = release = pyvda.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["figures", "results/table*.md", "**/generated/*.md"]

# Pages --------------------------------------------------------------------------------------------
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "smartquotes"]
myst_heading_anchors = 3


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for name in ("kernel.py", "matplotlibrc"):
        digest.update((DOCS / name).read_bytes())
    for folder in ("pyvda", "julia/src", "docs/results", "docs/figures", "benchmarks/results"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".pyi", ".jl", ".txt", ".json", ".nc"):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build/pages" / _digest_of_sources())
nb_execution_in_temp = True
nb_execution_show_tb = True  # an error is a warning, and fails the build after all pages
nb_execution_timeout = 600  # for a cell, on a slow and busy machine
nb_merge_streams = True
nb_render_markdown_format = "myst"  # with tables

# What the pages' processes find: the commands of this environment, this pyvda, readable figures.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["PYTHONPATH"] = str(ROOT)
os.environ["MATPLOTLIBRC"] = str(DOCS / "matplotlibrc")
os.environ["PYVDA_DOCS"] = str(DOCS)
os.environ.setdefault("COLUMNS", "88")
os.environ["PYTHONWARNINGS"] = "ignore::DeprecationWarning"
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
os.environ["IPYTHONDIR"] = str(ROOT / "build/ipython")
_STARTUP = ROOT / "build/ipython/profile_default/startup/plain_text.py"
_STARTUP.parent.mkdir(parents=True, exist_ok=True)
shutil.copyfile(DOCS / "kernel.py", _STARTUP)

# Reference ----------------------------------------------------------------------------------------
autosummary_generate = False  # generated_pages writes the page of each name
autodoc_typehints = "none"  # the docstrings state the types
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
default_role = "py:obj"
python_maximum_signature_line_length = 88
intersphinx_mapping = inventories.mapping(
    ROOT / "build/inventories", online=os.environ.get("DOCS_ONLINE") == "1"
)

# Appearance: nothing is fetched when a page is read -----------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = f"pyvda {version}"
html_static_path = ["_static"]
html_css_files = ["pyvda.css"]
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    # Pages of wide tables and maps have the width of their contents, too.
    "secondary_sidebar_items": {
        "index": [],
        "**": ["page-toc"],
        "results": [],
        "speed": [],
        "fields": [],
        "trust": [],
        "large-states": [],
        "howto/other_packages": [],
        "reference/methods": [],
    },
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}
mathjax_path = "mathjax/tex-chtml.js"


def _copy_mathjax(app, exception):
    """Copy the one file of MathJax that pages load, and its fonts."""
    if exception is not None or app.builder.name != "html":
        return
    for file in files("sphinx-mathjax-offline") or []:
        path = file.as_posix().partition("static/")[2]
        if path == mathjax_path or path.startswith("mathjax/output/chtml/fonts/woff-v2/"):
            target = Path(app.outdir, "_static", path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


def _keep_numbers_together(app, doctree):
    """Mark short cells that begin with a number, and let long ones break outside brackets only."""
    for cell in doctree.findall(nodes.entry):
        text = cell.astext()
        if not re.match(r"[-−+±]?\d", text):
            continue
        if len(text) <= 32:
            cell["classes"].append("number")
            continue
        for part in list(cell.findall(nodes.Text)):
            kept = re.sub(
                r"\[[^]]*\]", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), part
            )
            part.parent.replace(part, nodes.Text(kept))


def _link_types(app, what, name, obj, options, lines):
    """Link the types of parameters and results, which Napoleon has written as fields."""
    for number, line in enumerate(lines):
        if found := re.fullmatch(r"(:type [^:]*: )(.*)", line):
            lines[number] = found[1] + inventories.linked(found[2])
        elif found := re.fullmatch(r"(:returns: )\*([^*\s][^*]*)\*(.*)", line):
            lines[number] = found[1] + inventories.linked(found[2]) + found[3]


def setup(app):
    generated_pages.write(DOCS)
    app.connect("autodoc-process-docstring", _link_types, priority=600)
    app.connect("doctree-read", _keep_numbers_together)
    app.connect("build-finished", _copy_mathjax)
