"""Define the tab "SD" in the sidebars of the 3D View, Image Editor and Shader Editor, and panels in other places.

There is a file for each group of panels. Rarely needed settings are popovers (`Popover` in `base`). `draw` only reads.

The tab's order (`bl_order`): 0 prompt and button; 10 live mode; 20 settings; 30 controls, reference and regions; 40
operations on an image; 50 the queue; 55 the history; 60 materials. The gaps are for more.
"""
from . import (
    animation, assets, history, image_origin, installation, live, main, material, models, project, queue, quick,
    regions, results, settings, slot, steering, styles, tabs, texture_object, vocabulary,
)

CLASSES = (*vocabulary.CLASSES, *styles.CLASSES, *main.CLASSES, *results.CLASSES, *live.CLASSES, *settings.CLASSES,
           *steering.CLASSES, *regions.CLASSES, *slot.CLASSES, *texture_object.CLASSES, *project.CLASSES,
           *animation.CLASSES,
           *material.CLASSES, *queue.CLASSES, *history.CLASSES, *image_origin.CLASSES, *assets.CLASSES,
           *models.CLASSES, *tabs.CLASSES, *quick.CLASSES, *installation.CLASSES)
