"""Run a program of the installation that ends together with it: `python -I …/watched.py try|pip [argument …]`.

On Windows nothing else ends a program whose parent is killed, so a thread waits for the end of its standard input. It
reads a copy of that pipe under a descriptor that no library knows, and descriptor 0 is empty: while a thread reads
descriptor 0, Windows lets nobody else access it, and libgfortran, which numpy and scipy contain, does so when it is
loaded.

It runs as a plain file in isolated mode, without this folder on the search path. Standard library only.
"""
import importlib
import os
import runpy
import sys
import threading

_NEEDED = ("numpy", "PIL", "safetensors", "torch", "transformers", "diffusers")


def end_with_parent():
    """End this process when its standard input ends, and give it an empty one instead."""
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def wait():
        os.read(pipe, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(words):
    end_with_parent()
    if words[0] == "pip":
        sys.argv[:] = words
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
    else:
        for name in _NEEDED:
            importlib.import_module(name)
        print(sys.modules["torch"].__version__)


if __name__ == "__main__":
    main(sys.argv[1:])
