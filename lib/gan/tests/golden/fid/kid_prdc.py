"""Writes kid_prdc.json: KID by torch-fidelity, precision, recall, density and coverage by prdc, of hashed samples.

    python kid_prdc.py          (torch-fidelity, prdc, numpy, torch)

x1 [n1, d] and x2 [n2, d] are as frechet_vectors.json has them. KID's subsets are all samples, so that nothing is random.
"""

import json
import os

import numpy as np
import prdc
import torch
import torch_fidelity
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

MASK = (1 << 64) - 1


def uniform(name, count):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    out = np.empty(count)
    for i in range(count):
        z = (h + (i + 1) * 0x9E3779B97F4A7C15) & MASK
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
        z ^= z >> 31
        out[i] = (z >> 40) * 2.0**-24
    return out


def samples(n1, n2, d):
    x1 = uniform("x1", n1 * d).reshape(n1, d)
    x2 = uniform("x2", n2 * d).reshape(n2, d) * (0.5 + uniform("s", d)) + 0.3 * uniform("o", d)
    # As f32, which features are.
    return x1.astype(np.float32).astype(np.float64), x2.astype(np.float32).astype(np.float64)


cases = []
for n1, n2, d in ((150, 150, 8), (300, 300, 64), (200, 130, 8), (90, 260, 3)):
    real, fake = samples(n1, n2, d)
    case = {"n1": n1, "n2": n2, "d": d, "x1_first3": real[0, :3].tolist(), "x2_first3": fake[0, :3].tolist()}
    if n1 == n2:
        both = (torch.tensor(real), torch.tensor(fake))
        case["kid"] = float(
            kid_features_to_metric(*both, kid_subsets=1, kid_subset_size=n1, verbose=False)[KEY_METRIC_KID_MEAN]
        )
    for k in (3, 5):
        case[f"prdc_{k}"] = {key: float(v) for key, v in prdc.compute_prdc(real, fake, nearest_k=k).items()}
    cases.append(case)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "kid_prdc.json"), "w") as file:
    json.dump({"torch-fidelity": torch_fidelity.__version__, "cases": cases}, file, indent=1)
    file.write("\n")
