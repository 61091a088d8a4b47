"""Attaches a bottleneck adapter in AdapterHub's layout (`dragoman export --format adapterhub`)
to a model of transformers that AdapterHub's own library does not know: M2M-100, NLLB,
SMaLL-100 and Marian; mBART too.

    model = transformers.AutoModelForSeq2SeqLM.from_pretrained("facebook/nllb-200-distilled-600M")
    attach(model, "en-ast")

Needs: pip install torch transformers safetensors
"""
import json
import pathlib

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "swish": F.silu, "silu": F.silu,
               "gelu_new": lambda x: F.gelu(x, approximate="tanh")}
# Of a layer: the projection into the residual stream, the norm before (or after) the
# sublayer, and what reads the sublayer's input.
SUBLAYERS = {"attention_adapters": ("self_attn.out_proj", "self_attn_layer_norm", "self_attn.q_proj"),
             "cross_attention_adapters": ("encoder_attn.out_proj", "encoder_attn_layer_norm",
                                          "encoder_attn.q_proj"),
             "output_adapters": ("fc2", "final_layer_norm", "fc1")}


class Block:
    def __init__(self, config, weights):
        self.w, self.norm = weights, config["ln_before"]
        self.scale = config.get("scaling", 1.0)
        self.activation = ACTIVATIONS[config["non_linearity"]]

    def __call__(self, x):
        if self.norm:
            x = F.layer_norm(x, x.shape[-1:], self.w["adapter_down.0.weight"],
                             self.w["adapter_down.0.bias"])
        down = f"adapter_down.{int(self.norm)}"
        h = self.activation(F.linear(x, self.w[down + ".weight"], self.w[down + ".bias"]))
        return self.scale * F.linear(h, self.w["adapter_up.weight"], self.w["adapter_up.bias"])


def first(output, change):
    return (change(output[0]),) + output[1:] if isinstance(output, tuple) else change(output)


def hook(layer, name, block, config, pre_norm):
    projection, norm, reader = (layer.get_submodule(n) for n in SUBLAYERS[name])
    if config.get("is_parallel"):
        seen = {}
        source = norm if pre_norm else reader
        yield source.register_forward_pre_hook(lambda m, args: seen.update(x=args[0]))
        yield projection.register_forward_hook(lambda m, a, y: y + block(seen["x"]).view_as(y))
    elif config["original_ln_before"]:
        yield layer.register_forward_hook(lambda m, a, y: first(y, lambda x: x + block(x)))
    else:
        yield projection.register_forward_hook(lambda m, a, y: y + block(y))


def attach(model, directory):
    """Returns the handles of the hooks: calling their remove() takes the adapter off."""
    directory = pathlib.Path(directory)
    whole = json.loads((directory / "adapter_config.json").read_text())
    config, name = whole["config"], whole["name"]
    weights = load_file(directory / "adapter.safetensors")
    dtype = next(model.parameters()).dtype
    groups = {}
    for key, value in weights.items():
        path, _, piece = key.partition(f".adapters.{name}.")
        groups.setdefault(path, {})[piece] = value.to(dtype)
    handles = []
    for path, group in groups.items():
        layer, _, kind = path.rpartition(".")
        handles += hook(model.get_submodule(layer), kind, Block(config, group), config,
                        model.config.model_type != "marian")
    return handles
