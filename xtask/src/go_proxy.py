"""Packs the sources of a Go module as a module proxy hands them out.

    go_proxy.py SOURCES PROXY MODULE VERSION
"""

import pathlib
import shutil
import sys
import zipfile

sources, proxy, module, version = sys.argv[1:]
sources = pathlib.Path(sources)
folder = pathlib.Path(proxy) / module / "@v"
folder.mkdir(parents=True, exist_ok=True)
shutil.copy(sources / "go.mod", folder / f"{version}.mod")
(folder / f"{version}.info").write_text(f'{{"Version":"{version}"}}\n')
(folder / "list").write_text(f"{version}\n")
# Last, because it is by this file that others see that all is there.
whole = folder / f"{version}.zip"
part = whole.with_suffix(".part")
with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
    for file in sorted(sources.rglob("*")):
        if file.is_file():
            archive.write(file, f"{module}@{version}/{file.relative_to(sources)}")
part.rename(whole)
