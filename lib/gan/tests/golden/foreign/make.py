"""Generators as people define and save them, small, with images that PyTorch makes of some latents.

    python make.py     (torch 2.15, safetensors)

Writes a file of weights for each case, and images.safetensors: of each case `NAME.z` [2, nz] and `NAME.images` [2, H, W, C], what
the generator makes of z in evaluation mode, as bytes: round((x + 1) * 127.5), after a sigmoid round(x * 255).
"""
import argparse
import pathlib
from collections import OrderedDict

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

torch.manual_seed(11)
made = {}


def up(i, o, k=4, s=2, p=1, op=0, bias=False):
    return nn.ConvTranspose2d(i, o, k, s, p, op, bias=bias)


def dcgan(widths=(6, 4), nz=3, channels=3, last=nn.Tanh, act=lambda: nn.ReLU(True), bias=False, norm=nn.BatchNorm2d,
          first=4, shape=(4, 2, 1, 0), end=None, extra=lambda: [], wrap=lambda m: m):
    layers = [wrap(up(nz, widths[0], first, 1, 0, bias=bias)), norm and norm(widths[0]), act()]
    for a, b in zip(widths, widths[1:]):
        layers += [wrap(up(a, b, *shape, bias=bias)), norm and norm(b), act(), *extra()]
    layers += [end or wrap(up(widths[-1], channels, *shape, bias=bias)), last and last()]
    return nn.Sequential(*[layer for layer in layers if layer])


class Main(nn.Module):
    def __init__(self, main):
        super().__init__()
        self.main = main

    def forward(self, z):
        return self.main(z)


class Settings:
    def __init__(self, **values):
        self.__dict__.update(values)


def lively(g):
    """Weights that make images which are not all gray, and running statistics that are not the initial ones."""
    for name, p in g.named_parameters():
        if name.endswith(("weight_g", "original0")):
            nn.init.uniform_(p, 1.0, 2.0)
        elif p.dim() > 1:
            nn.init.normal_(p, 0.0, 0.35 if p.dim() == 4 else 0.5)
        elif name.endswith("bias"):
            nn.init.normal_(p, 0.0, 0.3)
        else:
            nn.init.uniform_(p, 0.6, 1.4)


def case(name, g, save=None, flat=False, sigmoid=False, part=1, view=None):
    """Draws the weights of g, keeps what it makes, and saves its state_dict (or what `save` makes of it) as NAME."""
    lively(g)
    first = next(p for p in g.parameters() if p.dim() > 1)
    nz = first.shape[1] if first.dim() == 2 else first.shape[0]
    latents = lambda n: torch.randn(n, nz) if flat else torch.randn(n, nz, 1, 1)
    with torch.no_grad():
        g.train()
        for _ in range(12):
            g(latents(24))
        g.eval()
        z = latents(2)
        x = g(z.to(first.dtype)).float()
    x = view(x) if view else x
    images = ((x * 255) if sigmoid else (x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    key = name.split(".")[0]
    made[f"{key}.z"] = z.reshape(2, nz).contiguous()
    made[f"{key}.images"] = images.permute(0, 2, 3, 1)[:, ::part, ::part].contiguous()
    state = OrderedDict((k, v.clone().contiguous()) for k, v in g.state_dict().items())
    state = save(state) if save else state
    if name.endswith(".safetensors"):
        save_file(dict(state), name)
    else:
        torch.save(state, name, _use_new_zipfile_serialization="legacy" not in name)


def prefixed(prefix, state):
    return {prefix + k: v for k, v in state.items()}


def discriminator():
    d = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2), nn.Conv2d(4, 6, 4, 2, 1, bias=False),
                      nn.BatchNorm2d(6), nn.LeakyReLU(0.2), nn.Conv2d(6, 1, 4, 1, 0, bias=False))
    return Main(d).state_dict()


def optimizer():
    p = torch.zeros(2, 3, requires_grad=True)
    adam = torch.optim.Adam([p])
    p.sum().backward()
    adam.step()
    return adam.state_dict()


# Containers.
case("plain.pth", Main(dcgan()))
case("legacy.pt", Main(dcgan()))
case("nested.ckpt", Main(dcgan()), lambda s: {
    "epoch": 3, "args": argparse.Namespace(lr=2e-4, out=pathlib.PurePosixPath("runs")), "netD": discriminator(), "netG": s,
    "optG": optimizer(), "rng": torch.get_rng_state()[:8]})
case("ema.pt", Main(dcgan()), lambda s: {
    "g": {k: v * 0.5 for k, v in s.items()}, "d": discriminator(), "g_ema": s, "g_optim": optimizer()})
case("lightning.ckpt", Main(dcgan()), lambda s: {
    "epoch": 1, "state_dict": {**prefixed("generator.", s), **prefixed("discriminator.", discriminator())},
    "optimizer_states": [optimizer()], "callbacks": {"ModelCheckpoint": {"best": torch.tensor(0.5), "kinds": {1, 2}}},
    "hyper_parameters": {"settings": Settings(lr=1e-3, shape=torch.Size([3, 16, 16])), "device": torch.device("cpu")}})
case("averaged.pth", torch.optim.swa_utils.AveragedModel(Main(dcgan())))

# Prefixes.
case("parallel.safetensors", Main(dcgan()), lambda s: prefixed("module.", s))
case("compiled.safetensors", Main(dcgan()), lambda s: prefixed("_orig_mod.module.", s))
case("both.safetensors", Main(dcgan()), lambda s: {**prefixed("netG.", s), **prefixed("netD.", discriminator())})
case("unnamed.safetensors", Main(dcgan()), lambda s: {**prefixed("b.", s), **prefixed("a.", discriminator())})
case("bare.safetensors", dcgan(bias=True))

# Layers.
case("dropout.safetensors", Main(dcgan(extra=lambda: [nn.Dropout2d(0.3)])))
case("biased.safetensors", Main(dcgan(bias=True, norm=None)))
case("affineless.safetensors", Main(dcgan(bias=True, norm=lambda c: nn.BatchNorm2d(c, affine=False))))
case("widths.safetensors", Main(dcgan(widths=(5, 7, 2))))
case("spectral.safetensors", Main(dcgan(wrap=spectral_norm, bias=True)))
case("spectral_parametrized.safetensors", Main(dcgan(wrap=parametrizations.spectral_norm)))
case("weight_norm.safetensors", Main(dcgan(wrap=weight_norm)))
case("weight_norm_parametrized.safetensors", Main(dcgan(wrap=parametrizations.weight_norm, bias=True, norm=None)))
case("leaky.safetensors", Main(dcgan(act=lambda: nn.LeakyReLU(0.2))))
case("sigmoid.safetensors", Main(dcgan(last=nn.Sigmoid, bias=True)), sigmoid=True)
case("sigmoid_after_norm.safetensors", Main(dcgan(end=nn.Sequential(up(4, 3), nn.BatchNorm2d(3)), last=nn.Sigmoid)),
     lambda s: {k.replace("main.6.0", "main.6").replace("main.6.1", "main.7"): v for k, v in s.items()}, sigmoid=True)
case("linear_end.safetensors", Main(dcgan(last=None)))
case("activation_first.safetensors", nn.Sequential(
    up(3, 5, 4, 1, 0), nn.ReLU(), nn.BatchNorm2d(5), up(5, 4), nn.ReLU(), nn.BatchNorm2d(4), up(4, 3), nn.Tanh()))
case("blocks.safetensors", nn.Sequential(*[nn.Sequential(*dcgan()[i:i + 3]) for i in (0, 3)], *dcgan()[6:]),
     lambda s: prefixed("net.", s))

# Kernels and sizes.
case("kernel2.safetensors", Main(dcgan(shape=(2, 2, 0, 0))))
case("kernel3.safetensors", Main(dcgan(shape=(3, 2, 1, 1))))
case("kernel3_equal.safetensors", Main(dcgan(shape=(3, 2, 1, 1), widths=(4, 4, 4), first=3)))
case("kernel5.safetensors", Main(dcgan(shape=(5, 2, 2, 1), bias=True)))
case("conv_end.safetensors", Main(dcgan(end=nn.Conv2d(4, 3, 3, 1, 1))))
case("conv1_end.safetensors", Main(dcgan(widths=(6, 4, 5), end=nn.ConvTranspose2d(5, 3, 1, 1, 0))))
case("extra.safetensors", nn.Sequential(
    up(3, 4, 4, 1, 0), nn.ReLU(), up(4, 5), nn.ReLU(), nn.Conv2d(5, 5, 3, 1, 1), nn.ReLU(), up(5, 3), nn.Tanh()))
case("size28.safetensors", Main(dcgan(first=7, channels=1)))
case("padding3.safetensors", Main(dcgan(widths=(6, 4, 3), channels=1, end=up(3, 1, 4, 2, 3))))
case("strides.safetensors", nn.Sequential(
    up(3, 6, 3, 2, 0), nn.ReLU(), up(6, 5, 4, 1, 0), nn.ReLU(), up(5, 4, 3, 2, 0), nn.ReLU(), up(4, 1, 4, 2, 0), nn.Tanh()))
case("size256.safetensors", Main(dcgan(widths=(4, 3, 3, 2, 2, 2), channels=1)), part=8)

# Numbers.
for kind in (torch.float16, torch.bfloat16, torch.float64):
    case(f"{str(kind)[6:]}.safetensors", Main(dcgan()), lambda s: {k: v.to(kind) for k, v in s.items()})


# Linear layers.
def mlp(*layers, **more):
    return nn.Sequential(*layers), {"flat": True, **more}


def square(channels, side):
    return lambda x: x.view(-1, channels, side, side)


g, more = mlp(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3 * 8 * 8), nn.Tanh(), view=square(3, 8))
case("mlp_color.safetensors", g, **more)
g, more = mlp(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Linear(8, 144), nn.Tanh(), view=square(1, 12))
case("mlp_leaky.pth", g, lambda s: {"G": s}, **more)
g, more = mlp(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 144), nn.Sigmoid(), view=square(1, 12), sigmoid=True)
case("mlp_sigmoid.safetensors", g, **more)
g, more = mlp(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Linear(8, 9), nn.BatchNorm1d(9, 0.8), nn.LeakyReLU(0.2), nn.Dropout(0.3),
              nn.Linear(9, 7, bias=False), nn.BatchNorm1d(7, 0.8), nn.LeakyReLU(0.2), nn.Linear(7, 75), nn.Tanh(),
              view=square(3, 5))
case("mlp_norm.pkl", g, lambda s: prefixed("model.", s), **more)


class Projected(nn.Module):
    """A linear layer whose numbers become an image; the activations are in the code."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 6 * 4 * 4)
        self.fc_bn = nn.BatchNorm1d(6 * 4 * 4)
        self.deconv1 = up(6, 5)
        self.deconv1_bn = nn.BatchNorm2d(5)
        self.deconv2 = up(5, 3, bias=True)

    def forward(self, z):
        x = torch.relu(self.fc_bn(self.fc(z))).view(-1, 6, 4, 4)
        return torch.tanh(self.deconv2(torch.relu(self.deconv1_bn(self.deconv1(x)))))


class NormsLast(nn.Module):
    """Its batch-norms come after all convolutions in its state_dict."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = up(3, 5, 4, 1, 0), up(5, 5), up(5, 3)
        self.bn1, self.bn2 = nn.BatchNorm2d(5), nn.BatchNorm2d(5)

    def forward(self, z):
        x = torch.relu(self.bn1(self.conv1(z)))
        return torch.tanh(self.conv3(torch.relu(self.bn2(self.conv2(x)))))


class NormsFirst(nn.Module):
    """Its batch-norms come first where its names are sorted, its last layer before the others."""

    def __init__(self):
        super().__init__()
        self.up1, self.up2, self.out = up(3, 5, 4, 1, 0), up(5, 5, bias=True), up(5, 3)
        self.norm1, self.norm2 = nn.BatchNorm2d(5), nn.BatchNorm2d(5)

    def forward(self, z):
        x = torch.relu(self.norm1(self.up1(z)))
        return torch.tanh(self.out(torch.relu(self.norm2(self.up2(x)))))


case("projected.bin", Projected(), flat=True)
case("projected_sorted.safetensors", Projected(), flat=True)
case("norms_last.pth", NormsLast())
case("norms_first.safetensors", NormsFirst())
case("unflatten.safetensors", nn.Sequential(
    nn.Linear(3, 6 * 4 * 4), nn.Unflatten(1, (6, 4, 4)), nn.BatchNorm2d(6), nn.ReLU(), up(6, 5), nn.ReLU(), up(5, 3), nn.Tanh()),
    flat=True)


class Upsampled(nn.Module):
    """nn.Upsample and convolutions, as PyTorch-GAN's dcgan.py has them, with its batch-norms' eps of 0.8."""

    def __init__(self):
        super().__init__()
        self.l1 = nn.Sequential(nn.Linear(3, 6 * 4 * 4))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(6), nn.Upsample(scale_factor=2), nn.Conv2d(6, 5, 3, stride=1, padding=1), nn.BatchNorm2d(5, 0.8),
            nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.Conv2d(5, 4, 3, stride=1, padding=1), nn.BatchNorm2d(4, 0.8),
            nn.LeakyReLU(0.2), nn.Conv2d(4, 3, 3, stride=1, padding=1), nn.Tanh())

    def forward(self, z):
        return self.conv_blocks(self.l1(z).view(-1, 6, 4, 4))


case("upsampled.pth", Upsampled(), flat=True)
save_file(made, "images.safetensors")

# What is no generator.
torch.save(dcgan(), "module.pth")
torch.save({"netG": Main(dcgan())}, "nested_module.pth")
torch.save(optimizer(), "optimizer.pth")
torch.save(discriminator(), "discriminator.pth")
torch.jit.save(torch.jit.trace(dcgan(), torch.randn(1, 3, 1, 1)), "script.pt")
torch.save({"A": Main(dcgan()).state_dict(), "B": Main(dcgan()).state_dict()}, "two.pth")
