"""The tab "SD" in the sidebars of the 3D View, Image Editor and Shader Editor: a file for each group of panels. `draw` only reads."""
from . import live, main, models, queue, slot, steering

CLASSES = (*main.CLASSES, *live.CLASSES, *steering.CLASSES, *queue.CLASSES, *slot.CLASSES, *models.CLASSES)
