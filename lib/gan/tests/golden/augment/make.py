"""Makes the files beside this script: what torchvision makes of ../image/decode/rgb.png, 23×17.

    python make.py          (pillow, torch, torchvision, numpy; versions in versions.json)

KIND_VALUE.rgb (blur_WIDTHxHEIGHT_SIGMA.rgb): raw RGB, of a Pillow picture and a fixed factor.
"""

import json
import os

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import functional as F

here = os.path.dirname(os.path.abspath(__file__))
picture = Image.open(os.path.join(here, "..", "image", "decode", "rgb.png")).convert("RGB")


def keep(name, changed):
    with open(os.path.join(here, name + ".rgb"), "wb") as file:
        file.write(np.asarray(changed, dtype=np.uint8).tobytes())


for factor in (0.8, 0.93, 1.2):
    keep(f"brightness_{factor}", F.adjust_brightness(picture, factor))
    keep(f"contrast_{factor}", F.adjust_contrast(picture, factor))
    keep(f"saturation_{factor}", F.adjust_saturation(picture, factor))
for sigma in (0.1, 0.65, 1.2):
    keep(f"blur_5x9_{sigma}", F.gaussian_blur(picture, [5, 9], [sigma, sigma]))
keep("flip_1", F.hflip(picture))
versions = {"pillow": PIL.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__}
with open(os.path.join(here, "versions.json"), "w") as file:
    json.dump(versions, file, indent=1)
    file.write("\n")
