"""What the makers of tests/import have in common."""
import contextlib
import io
import zipfile

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

WIDTH = 3  # of adapters


def records(data):
    archive = zipfile.ZipFile(io.BytesIO(data))
    return {i.filename: i.CRC for i in archive.infolist() if not i.filename.endswith("/version")}


@contextlib.contextmanager
def steady(*paths):
    """Versions of PyTorch add records of their own to its files: a file whose others are the
    same stays as it was."""
    before = {path: path.read_bytes() for path in paths if path.exists()}
    yield
    for path, old in before.items():
        if path.exists() and records(old).items() <= records(path.read_bytes()).items():
            path.write_bytes(old)


def computed(model, key):
    """Positions that no checkpoint stores."""
    return "embed_positions" in key and model.config.model_type != "mbart"


def exactly(model):
    """The model in double precision, its positions not rounded."""
    torch.set_default_dtype(torch.float64)
    twin = type(model)(model.config).double().eval()
    state = {k: x.double() for k, x in model.state_dict().items() if not computed(model, k)}
    twin.load_state_dict(state, strict=False)
    return twin


def randomize(model, name):
    """Weights that tell tokens apart."""
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    with torch.no_grad():
        for key, x in list(model.named_parameters()) + list(model.named_buffers()):
            if computed(model, key):
                continue
            noise = torch.randn(x.shape, generator=generator)
            if "norm" in key:  # its bias would say the same at every step
                x.copy_(1 + 0.3 * noise if key.endswith("weight") else 0.1 * noise)
            else:
                x.copy_((0.6 if x.dim() > 1 and x.shape[0] > 1 else 0.2) * noise)
    return generator


def padded(rows, pad):
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)


def hooked(model, generator):
    """Adapters as mt/model/adapter.h has them, by our names, added by forward hooks."""
    weights, d = {}, model.config.d_model
    core = model if model.config.model_type in ("t5", "mt5") else model.model
    for side in "encoder", "decoder":
        stack = getattr(core, side)
        for i, layer in enumerate(stack.block if hasattr(stack, "block") else stack.layers):
            at = f"{side}.layers.{i}."
            mine = {"norm.gain": (d,), "norm.bias": (d,), "down.weight": (WIDTH, d),
                    "down.bias": (WIDTH,), "up.weight": (d, WIDTH), "up.bias": (d,)}
            mine = {k: 0.3 * torch.randn(v, generator=generator) for k, v in mine.items()}
            mine["norm.gain"] += 1
            mine = {k: v.float().double().requires_grad_() for k, v in mine.items()}

            def hook(module, inputs, output, w=mine):
                x = output[0]
                h = F.layer_norm(x, (d,), w["norm.gain"], w["norm.bias"], 1e-5)
                h = F.relu(F.linear(h, w["down.weight"], w["down.bias"]))
                return (x + F.linear(h, w["up.weight"], w["up.bias"]),) + tuple(output[1:])

            layer.register_forward_hook(hook)
            weights |= {at + k: v for k, v in mine.items()}
    return weights


def expect(path, model, draw, generator, lengths=((5, 1, 6), (4, 1, 3)), columns=0, outputs=None):
    """expected.safetensors: what the model makes of a batch, in double precision.

      source, source_offsets, input, target_offsets     packed sentences
      encoding, logits                                  of every source and target token
      labels, adapter.NAME, adapter_grad.NAME           gradients of the summed cross-entropy
                                                        for a bottleneck adapter hooked into
                                                        the frozen model after every layer

    draw(n, target) draws tokens. Of the logits the first `outputs` are the model's; `columns`
    of zeros follow them."""
    torch.set_default_dtype(torch.float64)
    pad = model.config.pad_token_id
    sources, inputs = [draw(n, False) for n in lengths[0]], [draw(n, True) for n in lengths[1]]
    batch = dict(input_ids=padded(sources, pad), decoder_input_ids=padded(inputs, pad),
                 attention_mask=padded([torch.ones_like(s) for s in sources], 0), use_cache=False)
    with torch.no_grad():
        found = model(**batch)
    labels = [draw(len(x), True) for x in inputs]
    model.requires_grad_(False)
    adapter = hooked(model, generator)
    F.cross_entropy(model(**batch).logits[:, :, :outputs].flatten(0, 1),
                    padded(labels, -100).flatten(), reduction="sum").backward()
    cut = lambda rows, like: torch.cat([r[: len(x)] for r, x in zip(rows, like)]).float()
    offsets = lambda rows: torch.tensor([0] + [len(r) for r in rows]).cumsum(0).int()
    tensors = {"source": torch.cat(sources).int(), "source_offsets": offsets(sources),
               "input": torch.cat(inputs).int(), "target_offsets": offsets(inputs),
               "encoding": cut(found.encoder_last_hidden_state, sources),
               "logits": F.pad(cut(found.logits[:, :, :outputs], inputs), (0, columns)),
               "labels": torch.cat(labels).int()}
    tensors |= {f"adapter.{k}": w.detach().float() for k, w in adapter.items()}
    tensors |= {f"adapter_grad.{k}": w.grad.float() for k, w in adapter.items()}
    save_file(tensors, path / "expected.safetensors")
