"""Take libtensorflow and the headers of its C API out of a wheel: unpack_libtensorflow.py WHEEL FOLDER."""

import shutil
import sys
import zipfile
from pathlib import Path

LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
HEADERS = ("tensorflow/c/", "tensorflow/core/platform/", "tsl/", "xla/tsl/")

wheel, folder = sys.argv[1], Path(sys.argv[2])


def target_of(name: str) -> Path | None:
    if name in {f"tensorflow/{library}" for library in LIBRARIES}:
        return folder / "lib" / Path(name).name
    header = name.removeprefix("tensorflow/include/")
    is_header = header != name and header.startswith(HEADERS) and not name.endswith("/")
    return folder / "include" / header if is_header else None


with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        target = target_of(name)
        if target is None:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 24)

# The names that the linker looks for.
(folder / "lib" / "libtensorflow.so").symlink_to(LIBRARIES[0])
(folder / "lib" / "libtensorflow_framework.so").symlink_to(LIBRARIES[1])
