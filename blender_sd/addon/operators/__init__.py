"""Define the operators: each module reads the properties, makes one call to the API, and names its CLASSES."""
from importlib import import_module
from pkgutil import iter_modules

MODULES = [import_module(f".{found.name}", __package__) for found in iter_modules(__path__)]
CLASSES = tuple(cls for module in MODULES for cls in getattr(module, "CLASSES", ()))
