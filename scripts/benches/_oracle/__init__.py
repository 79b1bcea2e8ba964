"""Parts of the bench "oracle"."""
from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import common


@contextmanager
def exported() -> Iterator[Path]:
    """Return a context with a folder that holds Blender's own meshes as arrays; the tests' meshes can be imported."""
    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as folder:
        subprocess.run([sys.executable, "-m", "scripts.benches._oracle.export", folder], cwd=common.ROOT, check=True,
                       stdout=subprocess.DEVNULL)
        yield Path(folder)
