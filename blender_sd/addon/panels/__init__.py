"""The tab "SD" in the sidebars of the 3D View, Image Editor and Shader Editor: a file for each group of panels. `draw` only reads."""
from . import main, models, queue, setup, slot, steering

CLASSES = (*main.CLASSES, *steering.CLASSES, *queue.CLASSES, *slot.CLASSES, *models.CLASSES, *setup.CLASSES)
