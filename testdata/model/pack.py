"""Pack the texts written for the training into texts.tar.gz, the same bytes each time.

    python pack.py FOLDER texts.tar.gz
"""
import glob
import gzip
import io
import os
import sys
import tarfile

folder, out = sys.argv[1:]
raw = io.BytesIO()
with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as t:
    for kind in ("scenes", "chats", "sayings", "neutral"):
        for path in sorted(glob.glob(os.path.join(folder, kind + "*.txt"))):
            data = open(path, "rb").read()
            m = tarfile.TarInfo(os.path.basename(path))
            m.size = len(data)
            m.mode = 0o644
            t.addfile(m, io.BytesIO(data))
with open(out, "wb") as f, gzip.GzipFile(filename="", fileobj=f, mode="wb", mtime=0) as z:
    z.write(raw.getvalue())
