"""The operators: each reads the properties and makes one call to the API."""
from . import apply, cancel, control, engine, extend, fetch, generate, inpaint, loras, recall, restyle, retexture, setup, upscale

CLASSES = (*generate.CLASSES, *retexture.CLASSES, *restyle.CLASSES, *cancel.CLASSES, *recall.CLASSES, *apply.CLASSES, *engine.CLASSES,
           *upscale.CLASSES, *inpaint.CLASSES, *extend.CLASSES, *control.CLASSES, *loras.CLASSES, *fetch.CLASSES, *setup.CLASSES)
