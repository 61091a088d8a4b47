#!/usr/bin/env python3
"""Makes tests/import/checkpoint/: the same tensors as safetensors and as torch.save
writes them, whole and in shards, and what they are in single precision.

  expected.safetensors      every tensor in fp32
  safetensors/, shards/     model.safetensors; the same in two shards with an index
  bin/, bin_shards/         pytorch_model.bin; the same in two shards with an index
  bin4/                     pytorch_model.bin by pickle protocol 4
  hostile/                  pytorch_model.bin that would call os.system
  old/                      pytorch_model.bin as before PyTorch 1.6

In the .bin files some tensors share a storage, begin inside one, or are transposed.

Needs: pip install torch safetensors
"""
import json
import os
import pathlib
import re
from collections import OrderedDict

import torch
from safetensors.torch import save_file

from shared.checkpoints import steady

out = pathlib.Path(__file__).resolve().parent.parent / "import" / "checkpoint"
generator = torch.Generator().manual_seed(7)


def random(*shape):
    return torch.randn(shape, generator=generator)


block = random(6, 8)
tensors = OrderedDict([
    ("shared.weight", block),
    ("rows", block[2:5]),  # inside the same storage
    ("turned", random(5, 3).half().T),
    ("strided", random(4, 6, 2).bfloat16()[::2, 1::3]),
    ("half", torch.cat([random(9), torch.tensor([0.0, -0.0, 65504.0, 6e-8, -6e-5, 2.0])]).half()),
    ("bf16", random(3, 1, 2, 2).bfloat16()),
    ("double", random(2, 2).double()),
    ("long", random(4111)),  # more than is read at a time
    ("number", torch.tensor(2.5)),
    ("empty", torch.zeros(0, 4)),
    ("ids", torch.arange(4)),
])


def write(path, save):
    path.parent.mkdir(parents=True, exist_ok=True)
    with steady(*[path] if path.suffix == ".bin" and path.parent.name != "old" else []):
        save(path)
    path.chmod(0o644)


def whole(values):
    return {k: v.contiguous().clone() for k, v in values.items()}


def split(values):
    keys = list(values)
    return [OrderedDict((k, values[k]) for k in part) for part in (keys[:4], keys[4:])]


def shards(folder, stem, end, save):
    parts, index = split(tensors), {}
    for i, part in enumerate(parts):
        name = f"{stem}-{i + 1:05}-of-{len(parts):05}.{end}"
        write(out / folder / name, lambda path: save(part, path))
        index |= {k: name for k in part}
    write(out / folder / f"{stem}.{end}.index.json", lambda path: path.write_text(
        json.dumps({"metadata": {}, "weight_map": index}, indent=1) + "\n"))


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /tmp/hostile",)


expected = {k: v.float() for k, v in tensors.items() if v.is_floating_point()}
write(out / "expected.safetensors", lambda path: save_file(whole(expected), path))
write(out / "safetensors" / "model.safetensors", lambda path: save_file(whole(tensors), path))
shards("shards", "model", "safetensors", lambda part, path: save_file(whole(part), path))
state = OrderedDict(tensors)
state._metadata = OrderedDict({"": {"version": 1}, "encoder": {"version": 2}})
state["step"] = 3  # not a tensor
write(out / "bin" / "pytorch_model.bin", lambda path: torch.save(state, path))
shards("bin_shards", "pytorch_model", "bin", torch.save)
write(out / "bin4" / "pytorch_model.bin",
      lambda path: torch.save(state, path, pickle_protocol=4))
write(out / "hostile" / "pytorch_model.bin", lambda path: torch.save({"a": Hostile()}, path))


def save_old(path):
    """Storages have their addresses for names: here always the same."""
    torch.save({"a": random(2)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(re.sub(rb"X..\0\0\d{8,}", b"X\n\0\0\0" + b"9" * 10, path.read_bytes(),
                            flags=re.DOTALL))


write(out / "old" / "pytorch_model.bin", save_old)
