"""Makes small.safetensors and the same tensors as torch.save writes them today and wrote them before version 1.6."""

from collections import OrderedDict

import torch
from safetensors.torch import save_file

base = torch.arange(24, dtype=torch.float32).mul(0.25).sub(2)
tensors = OrderedDict(
    [
        ("layer.weight", base[:12].reshape(3, 4)),
        # Of the same storage, from an offset on, and transposed.
        ("layer.turned", base[12:18].reshape(2, 3).t()),
        ("layer.half", base[:6].half()),
        ("layer.bfloat", base[:6].bfloat16()),
        ("layer.double", base[:6].double().reshape(1, 2, 3)),
        ("layer.scalar", torch.tensor(0.5)),
        ("layer.parameter", torch.nn.Parameter(base[:3].clone())),
        ("layer.num_batches_tracked", torch.tensor(7)),
    ]
)
tensors._metadata = OrderedDict([("", {"version": 1}), ("layer", {"version": 2})])
torch.save(tensors, "small_zip.pth")
torch.save(tensors, "small_legacy.pth", _use_new_zipfile_serialization=False)
save_file({name: t.detach().clone().contiguous() for name, t in tensors.items()}, "small.safetensors")
