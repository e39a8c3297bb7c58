"""Makes kinds.tar.xz, small images of all kinds that people have, sound and damaged, and kinds.txt, what Pillow makes of each.

    python make.py          (pillow 13, numpy)

A line of kinds.txt is the name, the size, and the first 16 digits of the SHA-256 of `Image.open(f).convert("RGB")`'s bytes; or the
name and "refused". Files are made by the writers beside this script, since Pillow writes few of the kinds that it reads.
"""

import hashlib
import io
import lzma
import os
import sys
import tarfile
import tempfile
import warnings

import PIL
from PIL import Image

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
sys.dont_write_bytecode = True

import bitmap  # noqa: E402
import gif  # noqa: E402
import png  # noqa: E402
import tiff  # noqa: E402


def webp():
    from common import formula

    for w, h in ((1, 1), (2, 3), (16, 16), (17, 5), (33, 31), (64, 48)):
        rgb = Image.fromarray(formula(w, h, 3))
        rgba = rgb.copy()
        rgba.putalpha(Image.fromarray(formula(w, h, 5)[:, :, 0].copy()))
        for name, image in (("rgb", rgb), ("rgba", rgba)):
            for quality in (0, 30, 80, 100):
                for method in (0, 4, 6):
                    yield f"webp-{name}-{w}x{h}-q{quality}-m{method}.webp", encoded(image, "WEBP", quality=quality, method=method)
            for exact in (False, True):
                yield f"webp-{name}-{w}x{h}-lossless-{exact}.webp", encoded(image, "WEBP", lossless=True, exact=exact)
        yield f"webp-animated-{w}x{h}.webp", encoded(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)], lossless=True)
        yield f"webp-animated-lossy-{w}x{h}.webp", encoded(rgba, "WEBP", save_all=True, append_images=[rgba.rotate(180)])
    whole = encoded(rgb, "WEBP", lossless=True)
    for part in (2, 3, 10):
        yield f"webp-cut-{part}.webp", whole[: len(whole) - len(whole) // part]


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pillow(data, name):
    """The line of kinds.txt. By way of an open file, as torchvision does it: from a path Pillow maps some uncompressed files into
    memory, and gets those of them that are turned by 90 degrees wrong."""
    with tempfile.NamedTemporaryFile(suffix=os.path.splitext(name)[1]) as f:
        f.write(data)
        f.flush()
        try:
            with open(f.name, "rb") as file, Image.open(file) as image:
                rgb = image.convert("RGB")
            digest = hashlib.sha256(rgb.tobytes()).hexdigest()[:16]
            return f"{name} {rgb.width}x{rgb.height} {digest}"
        except Exception as e:
            if os.environ.get("SHOW"):
                print(name, repr(e)[:150], file=sys.stderr)
            return f"{name} refused"


warnings.simplefilter("ignore")
assert PIL.__version__.startswith("13."), PIL.__version__
lines, names = [], set()
with lzma.open(os.path.join(here, "kinds.tar.xz"), "wb", preset=9 | lzma.PRESET_EXTREME) as packed:
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for maker in (png.files, gif.files, bitmap.files, tiff.files, webp):
            for name, data in maker():
                assert name not in names and " " not in name and len(name) < 100, name
                names.add(name)
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
                lines.append(pillow(data, name))
with open(os.path.join(here, "kinds.txt"), "w") as f:
    f.write("\n".join(lines) + "\n")
print(len(lines), "files,", sum(line.endswith("refused") for line in lines), "refused")
