#!/usr/bin/env python3
"""Makes tests/train/muon.safetensors: steps of torch.optim.Muon on matrices,
and beside it torch.optim.AdamW on an embedding and a bias, at one learning rate.

  weights, gradients [step]   of all tensors one after another, and of each case K:
  options.K   [momentum, weight decay, clip, learning rate]
  values.K    after each step
  m.K         momentum, or first moment, after the last step; in double precision

PyTorch iterates in bfloat16. What is kept are the results of its own code with
that one word replaced, and the code as it is must agree with them to what
bfloat16 allows.

Needs: pip install "torch>=2.9" safetensors
"""
import inspect
import pathlib

import torch
from safetensors.torch import save_file
from torch.optim import _muon

out = pathlib.Path(__file__).resolve().parent.parent / "train"
torch.set_num_threads(1)

STEPS = 3
BETAS, EPS = (0.9, 0.98), 1e-8
shapes = {"tall": (24, 10), "wide": (8, 20), "square": (12, 12), "row": (1, 9),
          "embedding": (9, 8), "bias": (12,)}
hidden = ("tall", "wide", "square", "row")
generator = torch.Generator().manual_seed(1)
weights = {n: torch.randn(s, generator=generator) for n, s in shapes.items()}
gradients = {n: torch.randn(STEPS, *s, generator=generator) for n, s in shapes.items()}
gradients["wide"][0] = 0  # as LoRA's first factor while the other is zero
gradients["square"][:, 3] *= 100  # singular values far apart

original = _muon._zeropower_via_newtonschulz
source = inspect.getsource(original)
assert source.count("torch.bfloat16") == 1
in_double = {**vars(_muon)}
exec(source.replace("torch.bfloat16", "torch.float64"), in_double)


def run(orthogonalize, momentum, decay, clip, rate):
    _muon._zeropower_via_newtonschulz = orthogonalize
    w = {n: x.double().requires_grad_() for n, x in weights.items()}
    muon = torch.optim.Muon([w[n] for n in hidden], lr=rate, weight_decay=decay,
                            momentum=momentum, nesterov=True, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW([w[n] for n in w if n not in hidden], lr=rate, betas=BETAS, eps=EPS,
                             weight_decay=decay)
    values = {n: [] for n in w}
    for t in range(STEPS):
        for n, x in w.items():
            x.grad = gradients[n][t].double()
        torch.nn.utils.clip_grad_norm_(w.values(), clip or 1e30)
        muon.step()
        adam.step()
        for n, x in w.items():
            values[n].append(x.detach().clone())
    moments = {n: muon.state[x]["momentum_buffer"] if n in hidden else adam.state[x]["exp_avg"]
               for n, x in w.items()}
    return {n: torch.stack(v) for n, v in values.items()}, moments


def block(named, dim):
    return torch.cat([x.flatten(dim) for x in named.values()], dim)


tensors = {"weights": block(weights, 0), "gradients": block(gradients, 1)}
for k, case in enumerate([(0.95, 0.0, 0.0, 0.01), (0.8, 0.1, 5.0, 0.03), (0.0, 0.01, 0.0, 0.02)]):
    values, moments = run(in_double["_zeropower_via_newtonschulz"], *case)
    rounded, _ = run(original, *case)
    for n in hidden:
        way = values[n] - weights[n]
        error = ((rounded[n] - values[n]).norm() / way.norm()).item()
        print(f"case {k} {n}: bfloat16 goes {100 * error:.2f}% astray")
        assert 0 < error < 0.05
    tensors |= {f"options.{k}": torch.tensor(case, dtype=torch.float64),
                f"values.{k}": block(values, 1), f"m.{k}": block(moments, 0)}
save_file(tensors, out / "muon.safetensors")
(out / "muon.safetensors").chmod(0o644)
