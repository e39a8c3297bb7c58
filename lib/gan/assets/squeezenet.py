"""Makes squeezenet-v1.1-f16.safetensors: python squeezenet.py squeezenet-v1.1.safetensors"""

import sys

from safetensors.numpy import load_file, save_file

tensors = load_file(sys.argv[1])
# conv10 classifies; the features end before it.
features = {name: t.astype("float16") for name, t in tensors.items() if not name.startswith("conv10")}
save_file(features, "squeezenet-v1.1-f16.safetensors")
