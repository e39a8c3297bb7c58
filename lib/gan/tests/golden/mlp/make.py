"""Makes the reference values of this folder with PyTorch: six steps of an MLP GAN as yunjey's pytorch-tutorial trains it,
with an odd number of pictures, and LeakyReLU in G too and one more hidden layer in D so that nothing has a twin.

    python make.py        (needs torch and safetensors; 2.15.0 made the files here)

init.safetensors   weights and biases of G and D by PyTorch's names, before the first step
data.safetensors   real [6,7,12,12] in [-1,1], noise and fresh [6,7,5], one per step: fresh is drawn anew for G's update
steps.safetensors  losses and probabilities per step [6]; step0.*: D's gradients (real + fake) and G's;
                   sample: G(noise[0]) [7,12,12] after the six steps
final.safetensors  weights and biases after the six steps
"""
import torch
import torch.nn as nn
from safetensors.torch import save_file

NZ, SIDE, B, K = 5, 12, 7, 6


def perceptron(widths, last):
    layers = []
    for i, o in zip(widths, widths[1:]):
        layers += [nn.Linear(i, o), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1], *last)


def state():
    return {f"{n}.{k}": v.detach().clone() for n, net in [("G", G), ("D", D)] for k, v in net.state_dict().items()}


torch.manual_seed(999)
torch.use_deterministic_algorithms(True)
G = perceptron([NZ, 19, 12, SIDE * SIDE], [nn.Tanh()])
D = perceptron([SIDE * SIDE, 18, 13, 8, 1], [nn.Sigmoid()])
real = nn.functional.interpolate(torch.randn(K * B, 1, 7, 7), size=SIDE, mode="bicubic", align_corners=False)
real = real.mul(0.5).clamp(-1, 1).reshape(K, B, SIDE, SIDE).contiguous()
noise, fresh = torch.randn(K, B, NZ), torch.randn(K, B, NZ)
save_file(state(), "init.safetensors")
save_file({"real": real, "noise": noise, "fresh": fresh}, "data.safetensors")

bce = nn.BCELoss()
adam_d, adam_g = (torch.optim.Adam(net.parameters(), lr=2e-3) for net in (D, G))
series = {n: [] for n in ["errD_real", "errD_fake", "errG", "D_x", "D_G_z1", "D_G_z2"]}
out = {}


def judge(x, label, loss_name, mean_name):
    p = D(x)
    loss = bce(p, torch.full((B, 1), label))
    series[loss_name].append(loss.item())
    series[mean_name].append(p.mean().item())
    return loss


def keep_gradients(k, net, name):
    if k == 0:
        out.update({f"step0.grad{name}.{n}": p.grad.detach().clone() for n, p in net.named_parameters()})


for k in range(K):
    loss = judge(real[k].reshape(B, -1), 1.0, "errD_real", "D_x")
    loss = loss + judge(G(noise[k]), 0.0, "errD_fake", "D_G_z1")
    adam_d.zero_grad(), adam_g.zero_grad()
    loss.backward()
    keep_gradients(k, D, "D")
    adam_d.step()
    loss = judge(G(fresh[k]), 1.0, "errG", "D_G_z2")
    adam_d.zero_grad(), adam_g.zero_grad()
    loss.backward()
    keep_gradients(k, G, "G")
    adam_g.step()
out.update({n: torch.tensor(v) for n, v in series.items()})
with torch.no_grad():
    out["sample"] = G(noise[0]).reshape(B, SIDE, SIDE).contiguous()
save_file(out, "steps.safetensors")
save_file(state(), "final.safetensors")
