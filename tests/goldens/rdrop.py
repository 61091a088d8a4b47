#!/usr/bin/env python3
"""Makes tests/train/rdrop.safetensors: R-Drop's loss (Liang et al. 2021, as in
github.com/dropreg/R-Drop, halved: a mean over the two passes) and its gradient by PyTorch.

  logits [2, row, class], labels [row], options [smoothing, alpha], and in double precision
  losses [row, 3]: cross-entropy (smoothed), cross-entropy (plain), divergence
  grads [2, row, class]: of the smoothed + alpha/2 divergence, summed over rows

Needs: pip install torch safetensors
"""
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

out = pathlib.Path(__file__).resolve().parent.parent / "train"
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(3)
ROWS, CLASSES, SMOOTHING, ALPHA = 6, 53, 0.1, 5.0
logits = torch.randn(2, ROWS, CLASSES, generator=generator) * 3
logits[1, 4] = logits[0, 4]  # the same prediction: no divergence
labels = torch.randint(0, CLASSES, (ROWS,), generator=generator)
z = logits.double().requires_grad_()
p, q = F.log_softmax(z[0], -1), F.log_softmax(z[1], -1)
smoothed = sum(F.cross_entropy(x, labels, label_smoothing=SMOOTHING, reduction="none") for x in z) / 2
plain = sum(F.cross_entropy(x, labels, reduction="none") for x in z) / 2
kl = lambda a, b: F.kl_div(b, a, log_target=True, reduction="none").sum(-1)  # KL(a | b)
divergence = (kl(p, q) + kl(q, p)) / 2
(smoothed + ALPHA / 2 * divergence).sum().backward()
save_file({"logits": logits.contiguous(), "labels": labels.int(),
           "options": torch.tensor([SMOOTHING, ALPHA]),
           "losses": torch.stack([smoothed, plain, divergence], 1).detach().contiguous(),
           "grads": z.grad.contiguous()}, out / "rdrop.safetensors")
