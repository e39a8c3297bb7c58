"""Makes features.npz: what torchvision's SqueezeNet 1.1 gives for ../fid/a and for pictures of other sizes.

python squeezenet_golden.py ../../../assets/squeezenet-v1.1-f16.safetensors PICTURE...
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file

# torchvision numbers its layers; the published weights name them.
FIRES = {"fire2": 3, "fire3": 4, "fire4": 6, "fire5": 7, "fire6": 9, "fire7": 10, "fire8": 11, "fire9": 12}

weights = {}
for name, tensor in load_file(sys.argv[1]).items():
    layer, rest = name.split(".", 1)
    layer = "features.0" if layer == "conv1" else f"features.{FIRES[layer]}"
    weights[f"{layer}.{rest.replace('squeeze1x1', 'squeeze')}"] = tensor.float()
net = torchvision.models.squeezenet1_1(weights=None)
missing, unexpected = net.load_state_dict(weights, strict=False)
assert not unexpected and all(name.startswith("classifier.") for name in missing)
net = net.double().eval()

features = []
for path in sys.argv[2:]:
    rgb = np.asarray(Image.open(path).convert("RGB")).astype("float64")
    x = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    x = torch.nn.functional.interpolate(x, size=(227, 227), mode="bilinear", align_corners=False)
    x = x[:, [2, 1, 0]] - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    with torch.no_grad():
        features.append(net.features(x).mean((2, 3))[0].numpy())
names = "\n".join(Path(p).name for p in sys.argv[2:])
np.savez_compressed("features.npz", features=np.stack(features), names=np.frombuffer(names.encode(), "u1"))
