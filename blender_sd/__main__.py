"""`python -m blender_sd …`: the command line, in the source tree or in any Python that has the package."""
import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
