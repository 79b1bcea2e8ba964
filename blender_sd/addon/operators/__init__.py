"""The operators: each reads the properties and makes one call to the API."""
from . import (
    apply,
    assets,
    cancel,
    compare,
    control,
    engine,
    extend,
    fetch,
    generate,
    history,
    inpaint,
    loras,
    nodes,
    prompt,
    recall,
    remedy,
    restyle,
    retexture,
    styles,
    upscale,
)

CLASSES = (*generate.CLASSES, *retexture.CLASSES, *restyle.CLASSES, *cancel.CLASSES, *recall.CLASSES, *apply.CLASSES, *engine.CLASSES,
           *upscale.CLASSES, *inpaint.CLASSES, *extend.CLASSES, *control.CLASSES, *loras.CLASSES, *fetch.CLASSES, *prompt.CLASSES,
           *nodes.CLASSES, *remedy.CLASSES, *styles.CLASSES, *assets.CLASSES, *history.CLASSES,
           *compare.CLASSES)
