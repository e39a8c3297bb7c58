"""Makes the reference values of this folder with PyTorch: ten steps of the DCGAN tutorial's recipe at nz = ngf = ndf = 8, batch 4.

    python make.py        (needs torch and safetensors; 2.15.0 made the files here)

init.safetensors   weights and batch-norm buffers of G and D by PyTorch's names, before the first step
data.safetensors   real [4,3,64,64] in [-1,1], the same at every step; noise [10,4,8,1,1], one per step; fixed_noise [16,8,1,1]
steps.safetensors  losses and probabilities per step [10]; step0.*: the fakes, D's gradients (real only; real + fake), G's;
                   sample_eval: G(fixed_noise[:4]) in evaluation mode after the ten steps
final.safetensors  weights and buffers after the ten steps
"""
import copy
import torch
import torch.nn as nn
from safetensors.torch import save_file

NZ, W, B, K = 8, 8, 4, 10


def generator():
    def up(i, o, s, p):
        return [nn.ConvTranspose2d(i, o, 4, s, p, bias=False), nn.BatchNorm2d(o), nn.ReLU(True)]
    layers = up(NZ, W * 8, 1, 0) + up(W * 8, W * 4, 2, 1) + up(W * 4, W * 2, 2, 1) + up(W * 2, W, 2, 1)
    return nn.Sequential(*layers, nn.ConvTranspose2d(W, 3, 4, 2, 1, bias=False), nn.Tanh())


def discriminator():
    def down(i, o):
        return [nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.2, inplace=True)]
    first = [nn.Conv2d(3, W, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    layers = first + down(W, W * 2) + down(W * 2, W * 4) + down(W * 4, W * 8)
    return nn.Sequential(*layers, nn.Conv2d(W * 8, 1, 4, 1, 0, bias=False), nn.Sigmoid())


def init(m):
    if "Conv" in type(m).__name__:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif "BatchNorm" in type(m).__name__:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


def state():
    both = [("G", G), ("D", D)]
    return {f"{n}.main.{k}": v.detach().clone().contiguous()
            for n, net in both for k, v in net.state_dict().items() if "num_batches" not in k}


def grads(net, prefix):
    return {f"{prefix}.main.{k}": v.grad.detach().clone().contiguous() for k, v in net.named_parameters()}


torch.manual_seed(999)
torch.use_deterministic_algorithms(True)
G, D = generator(), discriminator()
G.apply(init)
D.apply(init)
real = torch.nn.functional.interpolate(torch.randn(B, 3, 8, 8), size=64, mode="bicubic", align_corners=False)
real = real.mul(0.5).clamp(-1, 1).contiguous()
noise, fixed = torch.randn(K, B, NZ, 1, 1), torch.randn(16, NZ, 1, 1)
save_file(state(), "init.safetensors")
save_file({"real": real, "noise": noise, "fixed_noise": fixed}, "data.safetensors")

bce = nn.BCELoss()
adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
adam_d, adam_g = torch.optim.Adam(D.parameters(), **adam), torch.optim.Adam(G.parameters(), **adam)
series = {n: [] for n in ["errD_real", "errD_fake", "errG", "D_x", "D_G_z1", "D_G_z2"]}
out = {}
for k in range(K):
    def judge(x, label, loss_name, mean_name):
        p = D(x).view(-1)
        loss = bce(p, torch.full((B,), label))
        loss.backward()
        series[loss_name].append(loss.item())
        series[mean_name].append(p.mean().item())

    D.zero_grad()
    judge(real, 1.0, "errD_real", "D_x")
    if k == 0:
        out.update(grads(D, "step0.gradDreal"))
    fake = G(noise[k])
    judge(fake.detach(), 0.0, "errD_fake", "D_G_z1")
    if k == 0:
        out.update(grads(D, "step0.gradD"))
        out["step0.fake"] = fake.detach().clone().contiguous()
    adam_d.step()
    G.zero_grad()
    judge(fake, 1.0, "errG", "D_G_z2")
    if k == 0:
        out.update(grads(G, "step0.gradG"))
    adam_g.step()
out.update({n: torch.tensor(v) for n, v in series.items()})
with torch.no_grad():
    out["sample_eval"] = copy.deepcopy(G).eval()(fixed[:4]).contiguous()
save_file(out, "steps.safetensors")
save_file(state(), "final.safetensors")
