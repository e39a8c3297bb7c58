"""A DCGAN generator as the PyTorch tutorial defines it, saved as its state_dict, with pictures that it makes.

    python pytorch_generator.py     (torch 2.15, safetensors)

Writes pytorch_generator.safetensors (the state_dict, no metadata) and pytorch_pictures.safetensors: `z` [3, nz] and
`pictures` [3, H, W, C], what the generator makes of z in evaluation mode, as bytes: round((x + 1) * 127.5).
"""
import torch
from safetensors.torch import save_file
from torch import nn

NZ, NGF, NC = 6, 4, 3


def block(i, o, s, p):
    return [nn.ConvTranspose2d(i, o, 4, s, p, bias=False), nn.BatchNorm2d(o), nn.ReLU(True)]


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            *block(NZ, NGF * 8, 1, 0), *block(NGF * 8, NGF * 4, 2, 1), *block(NGF * 4, NGF * 2, 2, 1),
            *block(NGF * 2, NGF, 2, 1), nn.ConvTranspose2d(NGF, NC, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z)


torch.manual_seed(3)
g = Generator()
for m in g.modules():
    if isinstance(m, nn.ConvTranspose2d):
        nn.init.normal_(m.weight, 0.0, 0.15)  # wider than the tutorial's, so that the pictures are not all grey
    if isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight, 1.0, 0.2)
        nn.init.normal_(m.bias, 0.0, 0.2)
with torch.no_grad():
    for _ in range(20):  # running statistics that are not the initial ones
        g(torch.randn(16, NZ, 1, 1))
    g.eval()
    z = torch.randn(3, NZ)
    pictures = ((g(z[:, :, None, None]) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
save_file({k: v.contiguous() for k, v in g.state_dict().items()}, "pytorch_generator.safetensors")
save_file({"z": z, "pictures": pictures.permute(0, 2, 3, 1).contiguous()}, "pytorch_pictures.safetensors")
