"""Define the tab "SD" in the sidebars of the 3D View, Image Editor and Shader Editor, and panels in other places.

There is a file for each group of panels. Rarely needed settings are popovers (`Popover` in `base`). `draw` only reads.

The tab's order (`bl_order`): 0 prompt and button; 10 live mode; 20 settings; 30 controls, reference and regions; 40
operations on images, objects and animations; 50 the queue; 55 the history; 60 styles and assets. No two have the same.
"""
from importlib import import_module
from pkgutil import iter_modules

_MODULES = [import_module(f".{module.name}", __package__) for module in iter_modules(__path__)]
# Blender takes a sub-panel only if it knows its parent.
CLASSES = tuple(sorted((cls for module in _MODULES for cls in getattr(module, "CLASSES", ())),
                       key=lambda cls: hasattr(cls, "bl_parent_id")))
