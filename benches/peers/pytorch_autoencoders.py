"""The steps of chapter 6's autoencoders in PyTorch, eager; with --fused, Adam's update is one kernel."""

import itertools

from common import arguments, report, stopwatch

MODELS = ["autoencoder", "tied", "denoising", "sparse", "k-sparse", "contractive"]

options = arguments("pytorch", fused=True, models=MODELS)

import torch
import torch.nn.functional as F

torch.set_num_threads(options.threads)
torch.set_num_interop_threads(1)
torch.manual_seed(0)


def layer(fan_in, fan_out):
    linear = torch.nn.Linear(fan_in, fan_out)
    torch.nn.init.xavier_uniform_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    return linear


def mlp(widths):
    layers = [layer(*pair) for pair in itertools.pairwise(widths)]
    between = [f for linear in layers for f in (linear, torch.nn.ReLU())]
    return torch.nn.Sequential(*between[:-1])


widths = list(map(int, options.layers.split("-")))
x = torch.rand(options.batch, widths[0])

if options.model == "autoencoder":
    encoder, decoder = mlp(widths), mlp(widths[::-1])
    parameters = [*encoder.parameters(), *decoder.parameters()]
else:
    encoder = layer(*widths)
    bias = torch.nn.Parameter(torch.zeros(widths[0]))
    parameters = [*encoder.parameters(), bias]


def tied(code):
    return F.linear(code, encoder.weight.t(), bias)


def squared_error(reconstruction):
    return F.mse_loss(reconstruction, x, reduction="sum") / options.batch


def cross_entropy(code):
    return F.binary_cross_entropy_with_logits(tied(code), x, reduction="sum") / options.batch


def autoencoder_loss():
    return squared_error(decoder(encoder(x)))


def tied_loss():
    return cross_entropy(torch.sigmoid(encoder(x)))


def denoising_loss():
    kept = torch.rand_like(x) >= 0.25
    return cross_entropy(torch.sigmoid(encoder(x * kept)))


def sparse_loss(rho=0.1, beta=3.0):
    code = torch.sigmoid(encoder(x))
    rates = code.mean(0)
    divergence = rho * torch.log(rho / rates) + (1 - rho) * torch.log((1 - rho) / (1 - rates))
    return cross_entropy(code) + beta * divergence.sum()


def k_sparse_loss(k=25):
    code = encoder(x)
    largest, places = code.topk(k, dim=1, sorted=False)
    return squared_error(tied(torch.zeros_like(code).scatter(1, places, largest)))


def contractive_loss(weight=0.1):
    code = torch.sigmoid(encoder(x))
    slopes = code * (1 - code)
    jacobian = slopes.square() @ encoder.weight.square().sum(1)
    return cross_entropy(code) + weight * jacobian.mean()


loss_of = dict(
    zip(MODELS, [autoencoder_loss, tied_loss, denoising_loss, sparse_loss, k_sparse_loss, contractive_loss])
)[options.model]
adam = torch.optim.Adam(parameters, lr=1e-3, fused=options.fused)


def one_step():
    adam.zero_grad()
    loss = loss_of()
    loss.backward()
    adam.step()
    return loss.item()


report(options, stopwatch(options.steps, one_step))
