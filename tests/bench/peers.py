"""The Python side of `just bench peers`: the same work by the usual Python programs.

    peers.py WORK …          loads, warms up and prints "ready VERSION"; then, for every line on stdin,
                             runs one repetition and prints its seconds
    peers.py --once WORK …   loads, runs one repetition and ends, to measure the process

A failure is one line, "failed REASON".
"""
import argparse
import contextlib
import importlib
import itertools
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor


def precision(a):
    """The context of the forward passes that sets the precision."""
    import torch

    return torch.autocast(a.device, dtype=torch.bfloat16) if a.mode == "bf16" else contextlib.nullcontext()


def generator(nz, ngf):
    """The generator of PyTorch's DCGAN tutorial."""
    from torch import nn

    def block(i, o, stride, padding):
        return [nn.ConvTranspose2d(i, o, 4, stride, padding, bias=False), nn.BatchNorm2d(o), nn.ReLU(True)]

    widths = [8 * ngf, 4 * ngf, 2 * ngf, ngf]
    inner = [layer for i, o in itertools.pairwise(widths) for layer in block(i, o, 2, 1)]
    last = [nn.ConvTranspose2d(ngf, 3, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*block(nz, widths[0], 1, 0), *inner, *last)


def discriminator(ndf, slope):
    """The discriminator of PyTorch's DCGAN tutorial."""
    from torch import nn

    def block(i, o):
        return [nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(slope, inplace=True)]

    first = [nn.Conv2d(3, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(slope, inplace=True)]
    inner = [layer for i, o in itertools.pairwise([ndf, 2 * ndf, 4 * ndf, 8 * ndf]) for layer in block(i, o)]
    return nn.Sequential(*first, *inner, nn.Conv2d(8 * ndf, 1, 4, 1, 0, bias=False), nn.Sigmoid())


def dcgan(a):
    """A training step of the tutorial, or of the cats model."""
    import torch
    from torch import nn

    nz, ndf, slope, batch = (30, 32, 0.1, 32) if a.cats else (100, 64, 0.2, 128)
    torch.manual_seed(999)
    g, d = generator(nz, 64), discriminator(ndf, slope)
    for module in [*g.modules(), *d.modules()]:
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    real = torch.rand(batch, 3, 64, 64) * 2 - 1
    # gantools does not use TF32.
    torch.backends.cudnn.allow_tf32 = False
    g, d, real = (x.to(a.device) for x in (g, d, real))
    if a.channels_last:
        g, d, real = (x.to(memory_format=torch.channels_last) for x in (g, d, real))
    adam_g, adam_d = (torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999)) for n in (g, d))
    run_g, run_d = (torch.compile(g), torch.compile(d)) if a.compile else (g, d)
    loss = nn.BCELoss()

    def judge(images, label):
        with precision(a):
            probability = run_d(images).view(-1)
        error = loss(probability.float(), torch.full((batch,), label, device=a.device))
        error.backward()
        return error.item(), probability.mean().item()

    def step():
        d.zero_grad()
        judge(real, 1.0)
        with precision(a):
            fakes = run_g(torch.randn(batch, nz, 1, 1, device=a.device))
        judge(fakes.detach(), 0.0)
        adam_d.step()
        g.zero_grad()
        judge(fakes, 1.0)
        adam_g.step()

    return torch.__version__, step


def mlp(a):
    """A hundred training steps of the GAN of yunjey's pytorch-tutorial."""
    import torch
    from torch import nn

    torch.manual_seed(999)
    d = nn.Sequential(
        nn.Linear(784, 256), nn.LeakyReLU(0.2), nn.Linear(256, 256), nn.LeakyReLU(0.2),
        nn.Linear(256, 1), nn.Sigmoid()
    )
    g = nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 784), nn.Tanh()
    )
    adam_d, adam_g = (torch.optim.Adam(n.parameters(), lr=2e-4) for n in (d, g))
    loss, batch = nn.BCELoss(), 100
    real, ones, zeros = torch.rand(batch, 784) * 2 - 1, torch.ones(batch, 1), torch.zeros(batch, 1)

    def update(error, adam):
        adam_d.zero_grad()
        adam_g.zero_grad()
        error.backward()
        adam.step()

    def step():
        update(loss(d(real), ones) + loss(d(g(torch.randn(batch, 64))), zeros), adam_d)
        update(loss(d(g(torch.randn(batch, 64))), ones), adam_g)

    return torch.__version__, lambda: [step() for _ in range(100)]


def sample(a):
    """Images of a generator as PNGs in a folder, written by the same number of threads as compute."""
    import torch
    from PIL import Image
    from safetensors.torch import load_file

    weights = {name.removeprefix("main."): tensor for name, tensor in load_file(a.paths[0]).items()}
    nz, channels = weights["0.weight"].shape[:2]
    g = generator(nz, channels // 8)
    g.load_state_dict(weights)
    g = g.eval().to(a.device, memory_format=torch.channels_last)
    os.makedirs(a.paths[1], exist_ok=True)
    pool = ThreadPoolExecutor(a.threads)

    def write(numbered):
        i, pixels = numbered
        Image.fromarray(pixels).save(f"{a.paths[1]}/{i:06}.png")

    def run():
        for first in range(0, a.count, 100):
            with torch.inference_mode(), precision(a):
                images = g(torch.randn(min(100, a.count - first), nz, 1, 1, device=a.device)).float()
            pixels = images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
            list(pool.map(write, enumerate(pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy(), first)))

    return torch.__version__, run


def prep(a):
    """JPEGs in a folder to float images of 64×64."""
    names = sorted(name for name in os.listdir(a.paths[0]) if name.endswith(".jpg"))[: a.limit]
    files = [f"{a.paths[0]}/{name}" for name in names]
    if a.engine == "opencv":
        import cv2
        import numpy as np

        cv2.setNumThreads(0)
        pool, out = ThreadPoolExecutor(a.threads), np.empty((len(files), 64, 64, 3), np.float32)

        def one(i):
            image = cv2.imread(files[i])
            h, w = image.shape[:2]
            size = (64, 64 * h // w) if w <= h else (64 * w // h, 64)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            y, x = (size[1] - 64) // 2, (size[0] - 64) // 2
            rgb = cv2.cvtColor(image[y : y + 64, x : x + 64], cv2.COLOR_BGR2RGB)
            out[i] = rgb * np.float32(1 / 127.5) - 1

        return cv2.__version__, lambda: list(pool.map(one, range(len(files))))

    import torch
    import torchvision
    from PIL import Image
    from torchvision import transforms as t

    change = t.Compose([t.Resize(64), t.CenterCrop(64), t.ToTensor(), t.Normalize((0.5,) * 3, (0.5,) * 3)])

    class Folder(torch.utils.data.Dataset):
        def __len__(self):
            return len(files)

        def __getitem__(self, i):
            return change(Image.open(files[i]).convert("RGB"))

    def run():
        for _ in torch.utils.data.DataLoader(Folder(), batch_size=128, num_workers=a.threads):
            pass

    return torchvision.__version__, run


def pytorch_fid(weights):
    """pytorch-fid's modules, with the weights of a file."""
    import pytorch_fid.fid_score
    import pytorch_fid.inception
    from safetensors.torch import load_file

    pytorch_fid.inception.load_state_dict_from_url = lambda *_, **__: load_file(weights)
    return pytorch_fid


def inception(a):
    """pytorch-fid's 2,048 features of a batch of 64×64 images in memory."""
    import torch

    class Features(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = pytorch_fid(a.paths[0]).inception.InceptionV3([3])

        def forward(self, x):
            return self.network(x)[0].flatten(1)

    return features(a, Features)


def squeezenet(a):
    """The 512 features of SqueezeNet v1.1, resizing included, of a batch of 64×64 images in memory."""
    import torch
    from safetensors.torch import load_file
    from torch import nn
    from torch.nn import functional as f

    weights = {name: tensor.float() for name, tensor in load_file(a.paths[0]).items()}

    def conv(name, **settings):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], **settings)
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        return nn.Sequential(layer, nn.ReLU())

    class Fire(nn.Module):
        def __init__(self, i):
            super().__init__()
            self.squeeze = conv(f"fire{i}.squeeze1x1")
            self.one, self.three = conv(f"fire{i}.expand1x1"), conv(f"fire{i}.expand3x3", padding=1)

        def forward(self, x):
            x = self.squeeze(x)
            return torch.cat([self.one(x), self.three(x)], 1)

    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            pool, fires = nn.MaxPool2d(3, 2, ceil_mode=True), [Fire(i) for i in range(2, 10)]
            first = [conv("conv1", stride=2), pool, *fires[:2], pool, *fires[2:4], pool, *fires[4:]]
            self.network = nn.Sequential(*first)
            self.mean = torch.tensor([103.939, 116.779, 123.68])[:, None, None]

        def forward(self, x):
            x = f.interpolate(x * 255, size=(227, 227), mode="bilinear", align_corners=False)
            return self.network(x.flip(1) - self.mean).mean((2, 3))

    return features(a, Features)


def features(a, network):
    """The features of a batch of 64×64 images by one of the engines."""
    importlib.import_module(a.engine)  # before the network, which is slow to load
    import torch

    torch.manual_seed(0)
    network, x = network().eval(), torch.rand(a.batch, 3, 64, 64)
    if a.engine == "torch":
        network, x = (v.to(memory_format=torch.channels_last) for v in (network, x))

        def run():
            with torch.inference_mode(), precision(a):
                network(x)

        return torch.__version__, run

    exported = f"{a.paths[1]}/{a.work}.onnx"
    export(network, x, exported)
    if a.engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = a.threads, 1
        session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
        return onnxruntime.__version__, lambda: session.run(None, {"x": x.numpy()})

    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": a.threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": a.mode,
    }
    compiled = openvino.Core().compile_model(exported, "CPU", settings)
    return openvino.__version__, lambda: compiled(x.numpy())


def export(network, x, path):
    """An ONNX file of the network for input of this shape."""
    import torch

    names = {"input_names": ["x"], "output_names": ["y"]}
    torch.onnx.export(network, (x,), path, **names, dynamo=False, opset_version=17)


def frechet(a):
    """The trace of the square root of the product of two covariances."""
    import numpy as np

    one, two = (np.load(path)["sigma"] for path in a.paths)
    if a.method == "cholesky":

        def run():
            factor = np.linalg.cholesky(one)
            return np.sqrt(np.linalg.eigvalsh(factor.T @ two @ factor).clip(0)).sum()

        return np.__version__, run

    import scipy.linalg

    return scipy.__version__, lambda: np.trace(scipy.linalg.sqrtm(one @ two).real)


def fid(a):
    """pytorch-fid's distance between a folder and statistics."""
    import torch

    score = pytorch_fid(a.paths[0]).fid_score
    keep_disp(score)
    run = lambda: score.calculate_fid_given_paths(a.paths[1:], 50, torch.device(a.device), 2048, a.threads)
    return torch.__version__, run


def keep_disp(score):
    """pytorch-fid 0.3.0 asks scipy's sqrtm for an error estimate, which newer versions do not return."""
    import types

    import scipy.linalg

    score.linalg = types.SimpleNamespace(sqrtm=lambda m, disp: (scipy.linalg.sqrtm(m), 0.0))


def main():
    works = {f.__name__: f for f in (dcgan, mlp, sample, prep, inception, squeezenet, frechet, fid)}
    p = argparse.ArgumentParser()
    p.add_argument("work", choices=works)
    p.add_argument("paths", nargs="*")
    p.add_argument("--once", action="store_true")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--mode", choices=["f32", "bf16"], default="f32")
    p.add_argument("--device", default="cpu")
    p.add_argument("--channels-last", action="store_true")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--cats", action="store_true")
    p.add_argument("--count", type=int, default=3000)
    p.add_argument("--limit", type=int, default=6000)
    p.add_argument("--batch", type=int, default=50)
    p.add_argument("--engine")
    p.add_argument("--method", choices=["cholesky", "sqrtm"])
    a = p.parse_intermixed_args()
    # Output of libraries goes to stderr: stdout is for the seconds.
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        version, repeat = works[a.work](a)
        # A matrix square root takes half a minute and needs no warm-up.
        for _ in range(1 if a.once else 0 if a.method == "sqrtm" else 2):
            repeat()
    except ModuleNotFoundError as e:
        print(f"failed {e.name} is not installed", file=out, flush=True)
        return
    except Exception as e:
        reason = str(e).strip().splitlines() or [type(e).__name__]
        print(f"failed {reason[0]}", file=out, flush=True)
        return
    print(f"ready {version}", file=out, flush=True)
    for _ in () if a.once else sys.stdin:
        start = time.perf_counter()
        repeat()
        print(time.perf_counter() - start, file=out, flush=True)


if __name__ == "__main__":
    main()
