"""The step of a VAE in PyTorch, eager; with --fused, Adam's update is one kernel."""

from common import arguments, report, stopwatch

options = arguments("pytorch", fused=True)

import torch
import torch.nn.functional as F

torch.set_num_threads(options.threads)
torch.set_num_interop_threads(1)
torch.manual_seed(0)


def mlp(widths):
    layers = []
    for fan_in, fan_out in zip(widths, widths[1:]):
        linear = torch.nn.Linear(fan_in, fan_out)
        torch.nn.init.xavier_uniform_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


encoder, decoder = mlp(options.down), mlp(options.up)
parameters = [*encoder.parameters(), *decoder.parameters()]
adam = torch.optim.Adam(parameters, lr=1e-3, fused=options.fused)
x = torch.rand(options.batch, options.down[0])


def one_step():
    adam.zero_grad()
    mu, s = encoder(x).chunk(2, 1)
    z = mu + torch.exp(0.5 * s) * torch.randn_like(mu)
    a = decoder(z)
    reconstruction = -F.binary_cross_entropy_with_logits(a, x, reduction="sum")
    kl = 0.5 * torch.sum(mu**2 + s.exp() - 1 - s)
    loss = (kl - reconstruction) / options.batch
    loss.backward()
    adam.step()
    return loss.item()


report(options, stopwatch(options.steps, one_step))
