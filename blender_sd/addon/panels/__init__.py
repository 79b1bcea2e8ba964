"""The tab "SD" in the sidebars of the 3D View, Image Editor and Shader Editor: a file for each group of panels. `draw` only reads."""
from . import assets, main, models, queue, slot, steering, styles

CLASSES = (*styles.CLASSES, *main.CLASSES, *steering.CLASSES, *queue.CLASSES, *slot.CLASSES, *assets.CLASSES, *models.CLASSES)
