"""Sphinx's settings. `python scripts/docs.py` builds the site."""
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "extensions")]

manifest = tomllib.loads((HERE.parent / "addon_manifest.toml").read_text(encoding="utf-8"))
project = manifest["name"]
version = release = manifest["version"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "from_source"]
exclude_patterns = ["extensions"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
default_role = "code"  # docstrings name things in single backticks

# Blender's modules are stood in for: the reference is read from docstrings and signatures, and no page needs a Blender
# to be built.
autodoc_mock_imports = ["bpy", "bpy_extras", "mathutils", "gpu", "gpu_extras", "bmesh", "blf"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = f"{project} {release}"
html_show_copyright = False
html_copy_source = False
