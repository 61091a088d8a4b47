#!/usr/bin/env python3
"""Makes tests/model/*.safetensors: tiny Transformers with random weights, and
what PyTorch makes of a batch with them.

  weight.NAME       under our names, bfloat16 (so both sides have the same numbers)
  adapter.K.NAME    the weights of the K-th adapter, where there are some
  source, source_offsets, input, labels, target_offsets      a packed batch
  logits            of every target token
  loss              [smoothed, nll], summed over the labels
  options           [label smoothing, gradient scale]
  grad.NAME, adapter_grad.K.NAME     of scale * smoothed loss
  part.P.ids, part.P.weights         a part of the vocabulary (adapters alone): the last pieces
      have weights; part.P.loss and part_grad.P.K.NAME are of the loss over it
  curve             the smoothed loss before each of 20 updates by Adam (adapters alone)

and tests/model/generate.tsv: n-best lists by generate() of transformers, for
searches that end before the length limit (where it and we differ): model, end
token, length penalty, source, then of each hypothesis its score and its tokens.

The metadata is the configuration and the declarations of the adapters. marian,
m2m100, mbart and t5 are computed by the classes of transformers on a padded batch,
the others by the plain functions below, sentence by sentence, all in double precision.

Needs: pip install torch transformers safetensors
"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

out = pathlib.Path(__file__).resolve().parent.parent / "model"
out.mkdir(exist_ok=True)
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

VOCAB, SMOOTHING, SCALE = 36, 0.1, 0.125
default = dict(
    d_model=16, encoder_layers=2, decoder_layers=2, heads=2, head_dim=0, ffn_dim=20,
    vocab_size=VOCAB, pre_norm=True, final_norm=True, embedding_norm=False, norm="layernorm",
    norm_eps=1e-5, position="sinusoidal", max_positions=16, position_offset=0,
    sinusoid_inclusive=False, relative_buckets=8, relative_distance=11, activation="relu",
    gated_ffn=False, attention_bias=True, ffn_bias=True, norm_bias=True, output_bias=False,
    tie_source_target=True, tie_output=True, embedding_scale=0.0, attention_scale=0.0,
    output_scale=1.0)


# --- our names and shapes ---------------------------------------------------------------


def norm_shapes(path, width, bias=True):
    return {f"{path}.gain": (width,)} | ({f"{path}.bias": (width,)} if bias else {})


def linear_shapes(path, rows, cols, bias):
    return {f"{path}.weight": (rows, cols)} | ({f"{path}.bias": (rows,)} if bias else {})


def model_shapes(c):
    d, vocab = c["d_model"], c["vocab_size"]
    inner = c["heads"] * (c["head_dim"] or d // c["heads"])
    shapes = {}
    for name in ["embedding"] if c["tie_source_target"] else ["encoder.embedding",
                                                              "decoder.embedding"]:
        shapes[name] = (vocab, d)
    for side, layers in ("encoder", c["encoder_layers"]), ("decoder", c["decoder_layers"]):
        if c["position"] == "learned":
            shapes[f"{side}.positions"] = (c["max_positions"], d)
        if c["position"] == "relative":
            shapes[f"{side}.relative"] = (c["heads"], c["relative_buckets"])
        if c["embedding_norm"]:
            shapes |= norm_shapes(f"{side}.embedding_norm", d, c["norm_bias"])
        for i in range(layers):
            for kind in ["self", "cross"][: 1 + (side == "decoder")]:
                path = f"{side}.layers.{i}.{kind}"
                shapes |= norm_shapes(f"{path}.norm", d, c["norm_bias"])
                for part in "qkv":
                    shapes |= linear_shapes(f"{path}.{part}", inner, d, c["attention_bias"])
                shapes |= linear_shapes(f"{path}.out", d, inner, c["attention_bias"])
            path = f"{side}.layers.{i}.ffn"
            shapes |= norm_shapes(f"{path}.norm", d, c["norm_bias"])
            for part in ["in", "gate"][: 1 + c["gated_ffn"]]:
                shapes |= linear_shapes(f"{path}.{part}", c["ffn_dim"], d, c["ffn_bias"])
            shapes |= linear_shapes(f"{path}.out", d, c["ffn_dim"], c["ffn_bias"])
        if c["final_norm"]:
            shapes |= norm_shapes(f"{side}.final_norm", d, c["norm_bias"])
    if not c["tie_output"]:
        shapes["output.weight"] = (vocab, d)
    if c["output_bias"]:
        shapes["output.bias"] = (vocab,)
    return shapes


# Declared as mt/model/adapter.c does; `extra` is the number of extra tokens.
adapter_default = dict(
    method="bottleneck", placement="layer", sublayers="auto", width=64, scale=0.0,
    adapter_norm="auto", adapter_activation="relu", rank=16, alpha=32.0, rslora=False,
    projections="all", encoder_layers="all", decoder_layers="all", extra=0)


def parts(a):
    return a["method"].replace("bitfit", "biases+norms").split("+")


def chosen(text, name):
    """Whether a layer or projection is in a list as the options have it."""
    if text in ("all", "none"):
        return text == "all"
    for word in text.split(","):
        if isinstance(name, int):
            first, _, last = word.partition("-")
            if int(first) <= name <= int(last or first):
                return True
        elif word in (name, name.split(".")[1] if name != "ffn.out" else "fc2"):
            return True
    return False


def block_at(a, kind):
    if a["sublayers"] != "auto":
        return kind in a["sublayers"].split(",")
    return kind == "ffn" or a["placement"] == "sublayer"


def block_shapes(a, path, d):
    norm = a["adapter_norm"] == "yes" or (a["adapter_norm"] == "auto" and
                                          a["placement"] != "sublayer")
    return (norm_shapes(f"{path}.norm", d) if norm else {}) | linear_shapes(
        f"{path}.down", a["width"], d, True) | linear_shapes(f"{path}.up", d, a["width"], True)


def adapter_shapes(c, a):
    base, shapes, d = model_shapes(c), {}, c["d_model"]
    for side in "encoder", "decoder":
        layers = [i for i in range(c[side + "_layers"]) if chosen(a[side + "_layers"], i)]
        if "norms" in parts(a):
            ends = ["embedding_norm"] * (0 in layers)
            ends += ["final_norm"] * (c[side + "_layers"] - 1 in layers)
            for name in (f"{side}.{e}.{k}" for e in ends for k in ("gain", "bias")):
                if name in base:
                    shapes[name + ".delta"] = base[name]
        for i in layers:
            path = f"{side}.layers.{i}"
            for name, shape in base.items():
                if not name.startswith(path + "."):
                    continue
                kind, piece, what = name.split(".")[3:]
                at = f"{path}.{kind}"
                if piece == "norm":
                    if "norms" in parts(a):
                        shapes[name + ".delta"] = shape
                elif what == "bias" and "biases" in parts(a):
                    shapes[name + ".delta"] = shape
                elif what == "weight" and "lora" in parts(a) and chosen(
                        a["projections"], f"{kind}.{piece}"):
                    shapes[f"{at}.{piece}.lora_a.weight"] = (a["rank"], shape[1])
                    shapes[f"{at}.{piece}.lora_b.weight"] = (shape[0], a["rank"])
            for kind in ["self", "cross", "ffn"][:: 1 if side == "decoder" else 2]:
                at = f"{path}.{kind}"
                if "ia3" in parts(a):
                    for piece, weight in ((("hidden", "in"),) if kind == "ffn" else
                                          (("k", "k"), ("v", "v"))):
                        shapes[f"{at}.{piece}.ia3"] = base[f"{at}.{weight}.weight"][:1]
                if "bottleneck" in parts(a) and a["placement"] != "layer" and block_at(a, kind):
                    shapes |= block_shapes(a, at + ".adapter", d)
            if "bottleneck" in parts(a) and a["placement"] == "layer":
                shapes |= block_shapes(a, path, d)
    return shapes | ({"extra": (a["extra"], d)} if a["extra"] else {})


def rounded(x):
    return x.bfloat16().double()


def random_weights(shapes, generator):
    weights = {}
    for name, shape in shapes.items():
        x = torch.randn(shape, generator=generator)
        if name.endswith(("gain", "ia3")):
            x = 1 + 0.3 * x
        elif name.endswith("relative"):
            x = 0.7 * x
        elif name.endswith("weight") and name != "output.weight":
            x = 1.2 * x / math.sqrt(shape[1])
        else:
            x = 0.3 * x
        weights[name] = rounded(x).requires_grad_()
    return weights


# --- the plain model ---------------------------------------------------------------------

activations = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu,
               "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}


def sinusoids(c):
    d, rows = c["d_model"], torch.arange(c["max_positions"], dtype=torch.float64)
    if c["sinusoid_inclusive"]:
        half = d // 2
        angle = rows[:, None] * torch.exp(torch.arange(half) * -(math.log(10000) / (half - 1)))
        table = torch.cat([angle.sin(), angle.cos()], 1)
        return F.pad(table, (0, d % 2))
    angle = rows[:, None] / torch.pow(10000.0, 2 * (torch.arange(d) // 2) / d)
    return torch.cat([angle[:, 0::2].sin(), angle[:, 1::2].cos()], 1)


def bucket(c, key, query, bidirectional):
    n, distance, base = c["relative_buckets"], key - query, 0
    if bidirectional:
        n //= 2
        base, distance = (n if distance > 0 else 0), abs(distance)
    else:
        distance = max(0, -distance)
    exact = n // 2
    if distance < exact:
        return base + distance
    far = math.log(distance / exact) / math.log(c["relative_distance"] / exact)
    return base + min(n - 1, exact + int(far * (n - exact)))


class Plain:
    """The base with its adapters: pairs of a declaration and weights, in stacking order."""

    def __init__(self, config, weights, adapters=()):
        self.c, self.w, self.adapters = config, weights, adapters

    def added(self, name, value):
        for _, w in self.adapters:
            if name + ".delta" in w:
                value = value + w[name + ".delta"]
        return value

    def norm(self, path, x):
        gain, bias = self.w[path + ".gain"], self.w.get(path + ".bias")
        gain, bias = self.added(path + ".gain", gain), self.added(path + ".bias", bias)
        if self.c["norm"] == "layernorm":
            return F.layer_norm(x, x.shape[-1:], gain, bias, self.c["norm_eps"])
        y = x / (x.square().mean(-1, keepdim=True) + self.c["norm_eps"]).sqrt() * gain
        return y if bias is None else y + bias

    def linear(self, path, x):
        weight = self.w[path + ".weight"]
        for a, w in self.adapters:
            if path + ".lora_a.weight" in w:
                scale = a["alpha"] / (a["rank"] ** 0.5 if a["rslora"] else a["rank"])
                weight = weight + scale * w[path + ".lora_b.weight"] @ w[path + ".lora_a.weight"]
        return F.linear(x, weight, self.added(path + ".bias", self.w.get(path + ".bias")))

    def factors(self, path, x):
        for _, w in self.adapters:
            if path + ".ia3" in w:
                x = x * w[path + ".ia3"]
        return x

    def block(self, a, w, path, x):
        if path + ".norm.gain" in w:
            x = F.layer_norm(x, x.shape[-1:], w[path + ".norm.gain"], w[path + ".norm.bias"], 1e-5)
        h = F.linear(x, w[path + ".down.weight"], w[path + ".down.bias"])
        h = activations[a["adapter_activation"]](h)
        scale = a["scale"] or (4 if a["placement"] == "parallel" else 1)
        return scale * F.linear(h, w[path + ".up.weight"], w[path + ".up.bias"])

    def attention(self, path, x, memory, causal, bias):
        heads = self.c["heads"]
        split = lambda y: y.unflatten(-1, (heads, -1)).transpose(0, 1)
        q = split(self.linear(path + ".q", x))
        k, v = (split(self.factors(f"{path}.{p}", self.linear(f"{path}.{p}", memory)))
                for p in "kv")
        scores = q @ k.transpose(1, 2) * (self.c["attention_scale"] or q.shape[-1] ** -0.5)
        if bias is not None:
            scores = scores + bias
        if causal:
            future = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(future, -math.inf)
        return self.linear(path + ".out", (scores.softmax(-1) @ v).transpose(0, 1).flatten(1))

    def ffn(self, path, x):
        h = activations[self.c["activation"]](self.linear(path + ".in", x))
        if self.c["gated_ffn"]:
            h = h * self.linear(path + ".gate", x)
        return self.linear(path + ".out", self.factors(path + ".hidden", h))

    def sublayer(self, path, x, f):
        y = f(self.norm(path + ".norm", x) if self.c["pre_norm"] else x)
        for a, w in self.adapters:
            if path + ".adapter.down.weight" in w:
                read = x if a["placement"] == "parallel" else y
                y = y + self.block(a, w, path + ".adapter", read)
        return x + y if self.c["pre_norm"] else self.norm(path + ".norm", x + y)

    def embedding(self, side):
        return self.w["embedding" if self.c["tie_source_target"] else side + ".embedding"]

    def stack(self, side, ids, memory=None):
        c, decoder = self.c, memory is not None
        table = torch.cat([self.embedding(side)] + [w["extra"] for _, w in self.adapters
                                                    if "extra" in w])
        x = table[ids] * (c["embedding_scale"] or math.sqrt(c["d_model"]))
        rows = torch.arange(len(ids)) + c["position_offset"]
        bias = None
        if c["position"] == "sinusoidal":
            x = x + sinusoids(c)[rows]
        elif c["position"] == "learned":
            x = x + self.w[side + ".positions"][rows]
        elif c["position"] == "relative":
            which = torch.tensor([[bucket(c, k, q, not decoder) for k in range(len(ids))]
                                  for q in range(len(ids))])
            bias = self.w[side + ".relative"][:, which]
        if c["embedding_norm"]:
            x = self.norm(side + ".embedding_norm", x)
        for i in range(c[side + "_layers"]):
            path = f"{side}.layers.{i}"
            x = self.sublayer(path + ".self", x,
                              lambda y: self.attention(path + ".self", y, y, decoder, bias))
            if decoder:
                x = self.sublayer(path + ".cross", x, lambda y: self.attention(
                    path + ".cross", y, memory, False, None))
            x = self.sublayer(path + ".ffn", x, lambda y: self.ffn(path + ".ffn", y))
            for a, w in self.adapters:
                if path + ".down.weight" in w:
                    x = x + self.block(a, w, path, x)
        return self.norm(side + ".final_norm", x) if c["final_norm"] else x

    def logits(self, sources, inputs):
        rows = []
        for source, target in zip(sources, inputs):
            state = self.stack("decoder", target, self.stack("encoder", source))
            weight = self.embedding("decoder") if self.c["tie_output"] else self.w["output.weight"]
            rows.append(F.linear(state * self.c["output_scale"], weight, self.w.get("output.bias")))
        return torch.cat(rows)


# --- batches and files ---------------------------------------------------------------------


def random_batch(generator, ids):
    draw = lambda least, most, n: torch.randint(least, most, (n,), generator=generator)
    sources = [draw(3, ids, n) for n in (5, 1, 12)]
    inputs = [draw(3, ids, n) for n in (9, 3, 13)]
    labels = [draw(0, VOCAB, len(x)) for x in inputs]
    labels[0][0] = labels[2][7] = -1
    if ids > VOCAB:  # every extra token on both sides
        for x in (sources[2], inputs[0]):
            x[: ids - VOCAB] = torch.arange(VOCAB, ids)
        sources[0][2] = VOCAB
    return sources, inputs, labels


def offsets(rows):
    return torch.tensor([0] + [len(r) for r in rows]).cumsum(0).int()


def text(value):
    return str(value).lower() if isinstance(value, bool) else repr(value).strip("'")


def add_part(tensors, part, ids, weights, flat, logits, adapters):
    """The loss over `ids` alone, the last of which stand for `weights` pieces each."""
    counted = flat >= 0
    z = logits[counted][:, ids]
    label = torch.tensor([ids.index(i) for i in flat[counted].tolist()])
    for group in adapters:
        for value, gradient in group.values():
            value.grad = None
    if weights:  # as if each were there so many times, in the sums and in the mean
        w = torch.cat([torch.ones(len(ids) - len(weights)), torch.tensor(weights)])
        log_z = torch.logsumexp(z + w.log(), -1)
        nll = log_z - z.gather(1, label[:, None])[:, 0]
        mean = log_z - (w * z).sum(-1) / w.sum()
        smoothed = ((1 - SMOOTHING) * nll + SMOOTHING * mean).sum()
        nll = nll.sum()
    else:
        smoothed = F.cross_entropy(z, label, reduction="sum", label_smoothing=SMOOTHING)
        nll = F.cross_entropy(z, label, reduction="sum")
    (SCALE * smoothed).backward(retain_graph=True)
    tensors.update({f"part.{part}.ids": torch.tensor(ids, dtype=torch.int32),
                f"part.{part}.weights": torch.tensor(weights, dtype=torch.float32),
                f"part.{part}.loss": torch.stack([smoothed, nll]).detach()})
    for k, group in enumerate(adapters):
        for key, (value, gradient) in group.items():
            tensors[f"part_grad.{part}.{k}.{key}"] = gradient().float().contiguous()


def curve(config, weights, adapters, trained, batch):
    """The smoothed loss before each of 20 updates of the adapters by Adam."""
    frozen = {k: w.detach() for k, w in weights.items()}
    trained = [{k: w.detach().clone().requires_grad_() for k, w in group.items()}
               for group in trained]
    adam = torch.optim.Adam([w for group in trained for w in group.values()], lr=0.01,
                            betas=(0.9, 0.98))
    losses = []
    for _ in range(20):
        logits = Plain(config, frozen, list(zip(adapters, trained))).logits(*batch[:2])
        loss = F.cross_entropy(logits, torch.cat(batch[2]), ignore_index=-1, reduction="sum",
                               label_smoothing=SMOOTHING)
        adam.zero_grad()
        (SCALE * loss).backward()
        adam.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def write(name, config, weights, adapters, batch, logits, declarations=(), more=None):
    sources, inputs, labels = batch
    flat = torch.cat(labels)
    smoothed = F.cross_entropy(logits, flat, ignore_index=-1, reduction="sum",
                               label_smoothing=SMOOTHING)
    nll = F.cross_entropy(logits, flat, ignore_index=-1, reduction="sum")
    (SCALE * smoothed).backward(retain_graph=name == "adapters")
    tensors = {
        "source": torch.cat(sources).int(), "source_offsets": offsets(sources),
        "input": torch.cat(inputs).int(), "target_offsets": offsets(inputs),
        "labels": flat.int(), "logits": logits.detach().float(),
        "loss": torch.stack([smoothed, nll]).detach(),
        "options": torch.tensor([SMOOTHING, SCALE], dtype=torch.float32)}
    for prefix, group in [("", weights)] + [(f".{k}", a) for k, a in enumerate(adapters)]:
        for key, (value, gradient) in group.items():
            kind = "adapter" if prefix else ""
            bf16 = value.detach().bfloat16().contiguous()
            assert torch.equal(bf16.double(), value), key
            tensors[f"{kind or 'weight'}{prefix}.{key}"] = bf16
            tensors[f"{kind}{'_' * bool(kind)}grad{prefix}.{key}"] = gradient().float().contiguous()
    tensors.update(more or {})
    if name == "adapters":
        said = sorted(set(flat[flat >= 0].tolist()))
        rest = [i for i in range(VOCAB) if i not in said]
        add_part(tensors, 0, said[::-1] + rest[:3], [], flat, logits, adapters)
        add_part(tensors, 1, said + rest[1::2], [1.0] + [2.0] * (len(rest) // 2 - 1), flat, logits,
                 adapters)
    path = out / f"{name}.safetensors"
    as_text = lambda c: {k: text(v) for k, v in c.items() if k != "extra"}
    metadata = {"config": json.dumps(as_text(config))}
    if declarations:
        metadata["adapters"] = json.dumps([as_text(a) for a in declarations])
    save_file(tensors, path, metadata)
    path.chmod(0o644)


def with_gradients(weights):
    return {k: (w, lambda w=w: w.grad) for k, w in weights.items()}


def plain(name, adapters=(), **changes):
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    config = default | changes
    weights = random_weights(model_shapes(config), generator)
    adapters = [adapter_default | a for a in adapters]
    trained = [random_weights(adapter_shapes(config, a), generator) for a in adapters]
    batch = random_batch(generator, VOCAB + sum(a["extra"] for a in adapters))
    logits = Plain(config, weights, list(zip(adapters, trained))).logits(*batch[:2])
    write(name, config, with_gradients(weights), [with_gradients(w) for w in trained], batch,
          logits, adapters,
          {"curve": curve(config, weights, adapters, trained, batch)} if name == "adapters" else None)


# --- the classes of transformers --------------------------------------------------------


def bart_names(config):
    names = {"embedding": "model.shared.weight"}
    if config["output_bias"]:
        names["output.bias"] = "final_logits_bias"
    for side in "encoder", "decoder":
        def add(ours, theirs, gain=False):
            for k in "weight", "bias":
                key = "gain" if gain and k == "weight" else k
                names[f"{side}.{ours}.{key}"] = f"model.{side}.{theirs}.{k}"
        if config["position"] == "learned":
            names[f"{side}.positions"] = f"model.{side}.embed_positions.weight"
        if config["embedding_norm"]:
            add("embedding_norm", "layernorm_embedding", True)
        if config["final_norm"]:
            add("final_norm", "layer_norm", True)
        for i in range(config[side + "_layers"]):
            at = f"layers.{i}"
            for kind, theirs in ("self", "self_attn"), ("cross", "encoder_attn"):
                if kind == "cross" and side == "encoder":
                    continue
                add(f"{at}.{kind}.norm", f"{at}.{theirs}_layer_norm", True)
                for part in "q", "k", "v", "out":
                    add(f"{at}.{kind}.{part}", f"{at}.{theirs}.{part}_proj")
            add(f"{at}.ffn.norm", f"{at}.final_layer_norm", True)
            add(f"{at}.ffn.in", f"{at}.fc1")
            add(f"{at}.ffn.out", f"{at}.fc2")
    return names


def t5_names(config):
    names = {"embedding": "shared.weight"}
    for side in "encoder", "decoder":
        names[f"{side}.relative"] = (
            f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
        names[f"{side}.final_norm.gain"] = f"{side}.final_layer_norm.weight"
        for i in range(config[side + "_layers"]):
            kinds = [("self", "SelfAttention")]
            kinds += [("cross", "EncDecAttention")] if side == "decoder" else []
            kinds += [("ffn", "DenseReluDense")]
            for j, (kind, theirs) in enumerate(kinds):
                ours, at = f"{side}.layers.{i}.{kind}", f"{side}.block.{i}.layer.{j}"
                names[ours + ".norm.gain"] = at + ".layer_norm.weight"
                parts = {"in": "wi_0", "gate": "wi_1", "out": "wo"} if kind == "ffn" else {
                    "q": "q", "k": "k", "v": "v", "out": "o"}
                for a, b in parts.items():
                    names[f"{ours}.{a}.weight"] = f"{at}.{theirs}.{b}.weight"
    return names


def padded(rows, pad):
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)


def generate(name, model, pad, file):
    generator = torch.Generator().manual_seed(3)
    options = dict(max_length=14, pad_token_id=pad, suppress_tokens=[pad], do_sample=False,
                   decoder_start_token_id=4, return_dict_in_generate=True, output_scores=True)
    for n in range(42):
        beam, penalty = ((2, 0.6), (3, 0.0), (4, 1.0), (5, 0.0), (5, 0.6), (3, 2.0))[n % 6]
        source = torch.randint(3, VOCAB, (1, 6), generator=generator)
        # A token that is likely on the way, so that there is an end before the limit.
        end = int(model.generate(source, eos_token_id=None, **options).sequences[0, 2 + n % 4])
        found = model.generate(source, num_beams=beam, num_return_sequences=beam,
                               length_penalty=penalty, eos_token_id=end, early_stopping=False,
                               **options)
        if len(found.scores) == 13:
            continue
        fields = [name, str(end), str(penalty), " ".join(map(str, source[0].tolist()))]
        for ids, score in zip(found.sequences.tolist(), found.sequences_scores.tolist()):
            ids = ids[1:]
            fields.append(" ".join(["%.6f" % score] + [str(i) for i in ids[: ids.index(end)]]))
        file.write("\t".join(fields) + "\n")


def transformer(name, model, names, pad, **changes):
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    config = default | dict(d_model=12, ffn_dim=16, encoder_layers=1) | changes
    model = model.double().eval()
    found = dict(model.named_parameters()) | dict(model.named_buffers())
    names = names(config)
    weights, turned = {}, lambda key, x: x.T if key.endswith(".relative") else x
    with torch.no_grad():
        for key, value in random_weights(model_shapes(config), generator).items():
            theirs = found[names[key]]
            theirs.copy_(turned(key, value.detach()).reshape(theirs.shape))
            theirs.requires_grad_()
            weights[key] = (value, lambda key=key, t=theirs, like=value: turned(
                key, t.grad).reshape(like.shape))
    unmapped = {id(p) for p in model.parameters() if p.requires_grad}
    unmapped -= {id(found[n]) for n in names.values()}
    positions = {id(p) for n, p in model.named_parameters() if "embed_positions" in n}
    assert unmapped <= positions, name
    batch = random_batch(generator, VOCAB)
    sources, inputs, _ = batch
    mask = padded([torch.ones_like(s) for s in sources], 0)
    logits = model(input_ids=padded(sources, pad), attention_mask=mask,
                   decoder_input_ids=padded(inputs, pad), use_cache=False).logits
    logits = torch.cat([l[: len(x)] for l, x in zip(logits, inputs)])
    ours = Plain(config, {k: v for k, (v, _) in weights.items()}).logits(*batch[:2])
    assert (logits - ours).abs().max() < 1e-5 * ours.abs().max(), name
    write(name, config, weights, [], batch, logits)
    return model


bart = dict(vocab_size=VOCAB, d_model=12, encoder_layers=1, decoder_layers=2,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
            decoder_ffn_dim=16, pad_token_id=1, max_position_embeddings=16, dropout=0.0,
            attention_dropout=0.0, activation_dropout=0.0)

plain("pre_norm")
plain("post_norm", pre_norm=False, final_norm=False, embedding_norm=True, position="learned",
      position_offset=2, activation="gelu", attention_bias=False, output_bias=True,
      tie_source_target=False, tie_output=False, embedding_scale=1.0, encoder_layers=1)
plain("rms_relative", norm="rmsnorm", norm_eps=1e-6, head_dim=6, position="relative",
      activation="silu", gated_ffn=True, attention_bias=False, ffn_bias=False, norm_bias=False,
      tie_output=False, attention_scale=0.8, embedding_scale=1.5, decoder_layers=1)
plain("rms_post", d_model=18, heads=3, pre_norm=False, norm="rmsnorm", position="none",
      activation="gelu_tanh", gated_ffn=True, output_scale=0.25, output_bias=True,
      tie_source_target=False, embedding_scale=3.0, encoder_layers=1,
      decoder_layers=1)
plain("odd_width", d_model=17, heads=2, head_dim=9, ffn_dim=19, encoder_layers=1, decoder_layers=1,
      sinusoid_inclusive=True, position_offset=2, max_positions=15, activation="silu",
      ffn_bias=False, norm_bias=False, final_norm=False)
plain("odd_sinusoids", d_model=9, ffn_dim=10, heads=1, encoder_layers=1, decoder_layers=1,
      activation="gelu")
# Training the one without tags ends the gradient early.
plain("adapters", [dict(width=5, extra=1), dict(width=3), dict(width=2, extra=1)], encoder_layers=1)
plain("adapters_post", [dict(width=4, extra=1)], pre_norm=False, final_norm=False,
      position="relative", activation="silu", encoder_layers=1, decoder_layers=1)
plain("adapters_blocks", [
    dict(placement="sublayer", width=3, adapter_activation="gelu"),
    dict(placement="parallel", sublayers="self,ffn", width=4, decoder_layers="1"),
    dict(placement="sublayer", sublayers="cross", width=2, scale=0.5, adapter_norm="yes",
         adapter_activation="silu", encoder_layers="none")], encoder_layers=1)
plain("adapters_lora", [
    dict(method="lora", rank=3, alpha=1.5),
    dict(method="lora", rank=2, alpha=1.0, rslora=True, projections="q,self.v,fc2",
         encoder_layers="none", decoder_layers="1"),
    dict(method="lora+tag", rank=2, alpha=1.5, projections="cross.k,cross.v,ffn.in,out", extra=1)],
    encoder_layers=1, gated_ffn=True, activation="silu")
plain("adapters_vectors", [
    dict(method="ia3"), dict(method="bitfit", decoder_layers="1"),
    dict(method="ia3+norms", encoder_layers="none")],
    encoder_layers=1, embedding_norm=True, position="learned", gated_ffn=True, activation="gelu")
plain("adapters_mixed", [
    dict(method="bottleneck+lora+ia3+bitfit", placement="sublayer", width=3, rank=2, alpha=1.0,
         adapter_activation="silu"),
    dict(method="bottleneck+norms+tag", placement="parallel", sublayers="self,cross,ffn", width=2,
         adapter_norm="no", adapter_activation="gelu_tanh", extra=2)],
    pre_norm=False, norm="rmsnorm", final_norm=False, embedding_norm=True, activation="gelu",
    norm_bias=False, encoder_layers=1, decoder_layers=1)

transformer("marian", transformers.MarianMTModel(transformers.MarianConfig(
    **bart, activation_function="swish", scale_embedding=True, decoder_start_token_id=1,
    share_encoder_decoder_embeddings=True)), bart_names, 1, pre_norm=False, final_norm=False,
    activation="silu", output_bias=True)
m2m100 = transformer("m2m100", transformers.M2M100ForConditionalGeneration(
    transformers.M2M100Config(**bart, activation_function="relu", scale_embedding=True)),
    bart_names, 1, sinusoid_inclusive=True, position_offset=2)
transformer("mbart", transformers.MBartForConditionalGeneration(transformers.MBartConfig(
    **bart, activation_function="gelu", scale_embedding=False)), bart_names, 1,
    position="learned", position_offset=2, max_positions=18, activation="gelu",
    embedding_norm=True, output_bias=True, embedding_scale=1.0)
t5 = transformer("t5", transformers.T5ForConditionalGeneration(transformers.T5Config(
    vocab_size=VOCAB, d_model=12, d_kv=5, d_ff=16, num_layers=1, num_decoder_layers=2, num_heads=2,
    relative_attention_num_buckets=8, relative_attention_max_distance=11, dropout_rate=0.0,
    feed_forward_proj="gated-gelu", tie_word_embeddings=True, pad_token_id=0)), t5_names, 0,
    norm="rmsnorm", norm_eps=1e-6, head_dim=5, position="relative", activation="gelu_tanh",
    gated_ffn=True, attention_bias=False, ffn_bias=False, norm_bias=False, embedding_scale=1.0,
    attention_scale=1.0, output_scale=12 ** -0.5)

with open(out / "generate.tsv", "w") as f:
    generate("m2m100", m2m100, 1, f)
    generate("t5", t5, 0, f)
