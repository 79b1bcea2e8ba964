"""The tab "SD" in the sidebars of the 3D View, Image Editor and Shader Editor, and what is shown elsewhere: a file for each group
of panels. `draw` only reads.

The tab's order (`bl_order`): 0 what is touched each minute; 10 live mode; 20 settings; 30 what steers; 40 what is done to an image;
50 the queue; 55 the history; 57 where an image comes from; 60 materials; 90 models. The gaps are for more.
"""
from . import assets, history, live, main, models, provenance, queue, quick, settings, setup, slot, steering, styles, tabs

CLASSES = (*styles.CLASSES, *main.CLASSES, *live.CLASSES, *settings.CLASSES, *steering.CLASSES, *slot.CLASSES, *queue.CLASSES,
           *history.CLASSES, *provenance.CLASSES, *assets.CLASSES, *models.CLASSES, *tabs.CLASSES, *quick.CLASSES, *setup.CLASSES)
