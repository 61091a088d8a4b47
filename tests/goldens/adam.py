#!/usr/bin/env python3
"""Makes tests/train/: steps of torch.optim.AdamW, and learning rates by the
schedules of transformers.

  adam.safetensors   weights, gradients [step, weight], and of each case K:
                     options.K [beta1, beta2, eps, weight decay, clip],
                     rates.K [step], values.K [step, weight], norms.K [step],
                     m.K and v.K after the last step; in double precision
  schedules.tsv      type, warm-up, updates, step, share of the peak rate

Needs: pip install torch transformers safetensors
"""
import pathlib

import torch
from safetensors.torch import save_file
from transformers import optimization

out = pathlib.Path(__file__).resolve().parent.parent / "train"
out.mkdir(exist_ok=True)
torch.set_num_threads(1)

STEPS, N = 7, 37
generator = torch.Generator().manual_seed(1)
weights = torch.randn(N, generator=generator)
gradients = torch.randn(STEPS, N, generator=generator)
gradients *= 10.0 ** torch.randint(-4, 2, (N,), generator=generator)
gradients[:, 5] = 0  # an embedding row that no batch reads
gradients[2] *= 30
gradients[4] *= 0.01
tensors = {"weights": weights, "gradients": gradients}

cases = [  # beta1, beta2, eps, weight decay, clip
    (0.9, 0.98, 1e-9, 0.0, 0.0),
    (0.9, 0.999, 1e-8, 0.1, 0.0),
    (0.8, 0.98, 1e-3, 0.01, 5.0),  # some steps are clipped, some are not
    (0.0, 0.5, 1e-6, 0.0, 0.1),
]
for k, (beta1, beta2, eps, decay, clip) in enumerate(cases):
    w = weights.double().requires_grad_()
    adam = torch.optim.AdamW([w], betas=(beta1, beta2), eps=eps, weight_decay=decay)
    rates = [0.03 * (t + 1) / (1 + t * t / 8) for t in range(STEPS)]
    values, norms = [], []
    for t in range(STEPS):
        w.grad = gradients[t].double()
        norms.append(torch.nn.utils.clip_grad_norm_([w], clip or 1e30))
        adam.param_groups[0]["lr"] = rates[t]
        adam.step()
        values.append(w.detach().clone())
    assert clip != 5 or min(norms) < clip < max(norms)
    state = adam.state[w]
    tensors |= {
        f"options.{k}": torch.tensor([beta1, beta2, eps, decay, clip], dtype=torch.float64),
        f"rates.{k}": torch.tensor(rates, dtype=torch.float64),
        f"values.{k}": torch.stack(values), f"norms.{k}": torch.stack(norms),
        f"m.{k}": state["exp_avg"], f"v.{k}": state["exp_avg_sq"]}
save_file(tensors, out / "adam.safetensors")
(out / "adam.safetensors").chmod(0o644)


def share(make, step, **options):
    idle = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    return make(idle, **options).lr_lambdas[0](step)


with open(out / "schedules.tsv", "w") as f:
    for warmup, updates in (0, 40), (10, 40), (100, 4000):
        for step in sorted({1, 2, warmup - 1, warmup, warmup + 1, 2 * warmup, updates // 2 + 3,
                            updates - 1, updates, updates + 5}):
            if step < 1:
                continue
            kinds = {
                "cosine": share(optimization.get_cosine_schedule_with_warmup, min(step, updates),
                                num_warmup_steps=warmup, num_training_steps=updates),
                "constant": share(optimization.get_constant_schedule_with_warmup, step,
                                  num_warmup_steps=warmup),
                # Without warm-up ours is 1/sqrt(step).
                "inverse_sqrt": share(optimization.get_inverse_sqrt_schedule, step,
                                      num_warmup_steps=max(warmup, 1))}
            for name, value in kinds.items():
                f.write(f"{name}\t{warmup}\t{updates}\t{step}\t{value!r}\n")
