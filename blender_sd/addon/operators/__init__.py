"""Define the operators: each reads the properties and makes one call to the API."""
from . import (
    apply, assets, bug_report, cancel, compare, control, downloads, engine, extend, generate, history, image_origin,
    image_report, inpaint, installation, interpreters, live, loras, mask, nodes, prompt, purge, queue, recall, remedy,
    restyle, retexture, show_result, styles, upscale,
)

CLASSES = (*generate.CLASSES, *retexture.CLASSES, *restyle.CLASSES, *cancel.CLASSES, *recall.CLASSES, *apply.CLASSES,
           *engine.CLASSES, *upscale.CLASSES, *inpaint.CLASSES, *mask.CLASSES, *extend.CLASSES, *control.CLASSES,
           *loras.CLASSES, *downloads.CLASSES, *prompt.CLASSES, *nodes.CLASSES, *remedy.CLASSES, *styles.CLASSES,
           *assets.CLASSES, *history.CLASSES, *compare.CLASSES, *live.CLASSES, *queue.CLASSES, *installation.CLASSES,
           *interpreters.CLASSES, *image_origin.CLASSES, *purge.CLASSES, *image_report.CLASSES, *show_result.CLASSES,
           *bug_report.CLASSES)
