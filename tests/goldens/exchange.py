#!/usr/bin/env python3
"""Makes tests/import/adapter/NAME/: adapters as PEFT and AdapterHub save them for the tiny
checkpoints of tests/import/model, with random weights, and in expected.safetensors what
the model makes of a batch with them, in double precision:

  source, source_offsets, input, target_offsets     packed sentences
  logits                                            of every target token

checkpoint.txt names the model. Then adapters go to ours and back, by the program in
$DRAGOMAN_BUILD, and PEFT, AdapterHub's library and mt/import/attach_adapter.py must give
the same logits with what it wrote.

Needs: pip install torch transformers peft adapters safetensors
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import adapters
import peft
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

tests = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(tests.parent / "mt" / "import"))
from attach_adapter import attach

models, out = tests / "import" / "model", tests / "import" / "adapter"
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
CLASSES = {"m2m100": hf.M2M100ForConditionalGeneration, "mbart": hf.MBartForConditionalGeneration,
           "marian": hf.MarianMTModel, "t5": hf.T5ForConditionalGeneration}


def load(directory, kind):
    return CLASSES[kind].from_pretrained(directory, torch_dtype=torch.float64).eval()


def padded(rows, pad):
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)


def batch(pad, vocab, seed=5):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor([i for i in range(vocab) if i != pad])
    draw = lambda n: ids[torch.randint(len(ids), (n,), generator=generator)]
    return [draw(n) for n in (5, 1, 9)], [draw(n) for n in (7, 3, 8)]


def logits(model, sources, inputs):
    pad = model.config.pad_token_id
    mask = padded([torch.ones_like(s) for s in sources], 0)
    with torch.no_grad():
        found = model(input_ids=padded(sources, pad), attention_mask=mask,
                      decoder_input_ids=padded(inputs, pad), use_cache=False).logits
    return torch.cat([r[: len(x)] for r, x in zip(found, inputs)])


def randomize(named, wanted):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for key, x in named:
            if wanted(key):
                noise = torch.randn(x.shape, generator=generator)
                gain = ("norm" in key or "adapter_down.0" in key and x.dim() == 1) and "weight" in key
                x.copy_((1 + 0.3 * noise if gain else 0.5 * noise).float())


def finish(name, kind, want, sources, inputs):
    path = out / name
    for extra in "README.md", "head_config.json", "pytorch_model_head.bin", "model_head.safetensors":
        (path / extra).unlink(missing_ok=True)
    (path / "checkpoint.txt").write_text(kind + "\n")
    config = json.loads((path / "adapter_config.json").read_text())
    for key in "base_model_name_or_path", "model_name":  # not where it happened to be made
        if key in config:
            config[key] = os.path.relpath(config[key], tests.parent)
    if "target_modules" in config:  # a set, in any order
        config["target_modules"].sort()
    (path / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
    offsets = lambda rows: torch.tensor([0] + [len(r) for r in rows]).cumsum(0).int()
    save_file({"source": torch.cat(sources).int(), "source_offsets": offsets(sources),
               "input": torch.cat(inputs).int(), "target_offsets": offsets(inputs),
               "logits": want.float()}, path / "expected.safetensors")
    for file in path.iterdir():
        file.chmod(0o644)


def make_peft(name, kind, safe=True, **options):
    model = load(models / kind, kind)
    sources, inputs = batch(model.config.pad_token_id, model.config.vocab_size)
    plain = logits(model, sources, inputs)
    config = peft.LoraConfig(task_type="SEQ_2_SEQ_LM", inference_mode=True,
                             base_model_name_or_path="tiny", **options)
    model = peft.get_peft_model(model, config).double().eval()
    randomize(model.named_parameters(), lambda key: "lora_" in key)
    want = logits(model, sources, inputs)
    assert (want - plain).abs().max() > 1e-2, name
    shutil.rmtree(out / name, ignore_errors=True)
    model.float().save_pretrained(out / name, safe_serialization=safe)
    finish(name, kind, want, sources, inputs)


def make_hub(name, kind, config):
    model = load(models / kind, kind)
    adapters.init(model)
    model.add_adapter("demo", config=config)
    model.set_active_adapters("demo")
    model = model.double().eval()
    randomize(model.named_parameters(), lambda key: ".adapters." in key)
    sources, inputs = batch(model.config.pad_token_id, model.config.vocab_size)
    want = logits(model, sources, inputs)
    shutil.rmtree(out / name, ignore_errors=True)
    model.float().save_adapter(str(out / name), "demo", use_safetensors="bin" not in name)
    finish(name, kind, want, sources, inputs)
    if kind == "mbart" and "bin" not in name:  # the loader for the others agrees with AdapterHub
        model = load(models / kind, kind)
        attach(model, out / name)
        assert (logits(model, sources, inputs) - want).abs().max() < 1e-5, name


def make_hooked(name, kind, like):
    """An adapter of mBART under another model's roof."""
    shutil.rmtree(out / name, ignore_errors=True)
    shutil.copytree(out / like, out / name)
    model = load(models / kind, kind)
    attach(model, out / name)
    sources, inputs = batch(model.config.pad_token_id, model.config.vocab_size)
    finish(name, kind, logits(model, sources, inputs), sources, inputs)


make_peft("peft_m2m100", "m2m100", r=3, lora_alpha=5, target_modules=["q_proj", "v_proj", "fc1"],
          rank_pattern={"encoder_attn.q_proj": 2}, alpha_pattern={"fc1": 2})
make_peft("peft_marian", "marian", safe=False, r=2, lora_alpha=3, use_rslora=True,
          target_modules=["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"])
make_peft("peft_t5", "t5", r=4, lora_alpha=8, target_modules=["q", "v", "wo"],
          layers_to_transform=[1], layers_pattern="block")
make_hub("hub_mbart", "mbart", adapters.SeqBnConfig(reduction_factor=3))
make_hub("hub_mbart_bin", "mbart", adapters.DoubleSeqBnConfig(
    reduction_factor=5, cross_adapter=True, ln_before=True, non_linearity="gelu"))
make_hub("hub_mbart_parallel", "mbart", adapters.ParBnConfig(
    reduction_factor=4, mh_adapter=True, leave_out=[0]))
make_hub("hub_mbart_double", "mbart", adapters.DoubleSeqBnConfig(
    reduction_factor=6, cross_adapter=True))
make_hub("hub_t5", "t5", adapters.DoubleSeqBnConfig(reduction_factor=3, cross_adapter=True))
make_hub("hub_t5_layer", "t5", adapters.SeqBnConfig(reduction_factor=4, non_linearity="gelu_new"))
make_hooked("hub_m2m100", "m2m100", "hub_mbart_parallel")
make_hooked("hub_marian", "marian", "hub_mbart_double")

# --- there and back by the program --------------------------------------------------------

dragoman = pathlib.Path(os.environ["DRAGOMAN_BUILD"]) / "dragoman"
bases = {"m2m100": "m2m100", "mbart": "mbart", "madlad": "t5"}


def run(*words):
    subprocess.run([str(dragoman), *map(str, words)], check=True)


def there_and_back(base, kind, made, layout, work):
    run("import", tests / "import" / "base" / base, "-o", work / "base", "--quiet")
    run("import", "--adapter", made, "-b", work / "base", "-s", "en", "-t", "gl", "-o",
        work / "adapter", "--quiet")
    run("export", "-b", work / "base", "-a", work / "adapter", "--format", layout, "-o",
        work / "back")
    return load(tests / "import" / "base" / base, kind), work / "back"


def check(name, got, want):
    error = (got - want).abs().max() / want.abs().max()
    assert error < 1e-5, (name, error)
    print(f"  {name}: back again, {error:.1e}")


for base, kind in bases.items():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        modules = ["q", "v", "wi_1", "wo"] if kind == "t5" else ["q_proj", "out_proj", "fc2"]
        model = load(tests / "import" / "base" / base, kind)
        sources, inputs = batch(model.config.pad_token_id, model.config.vocab_size)
        model = peft.get_peft_model(model, peft.LoraConfig(
            task_type="SEQ_2_SEQ_LM", r=3, lora_alpha=4, target_modules=modules)).double().eval()
        randomize(model.named_parameters(), lambda key: "lora_" in key)
        want = logits(model, sources, inputs)
        model.float().save_pretrained(work / "made")
        plain, back = there_and_back(base, kind, work / "made", "peft", work)
        model = peft.PeftModel.from_pretrained(plain, str(back)).double().eval()
        check(f"peft {base}", logits(model, sources, inputs), want)

for base, kind, config in (
        ("mbart", "mbart", adapters.SeqBnConfig(reduction_factor=3.5, ln_before=True)),
        ("mbart", "mbart", adapters.ParBnConfig(reduction_factor=4, mh_adapter=True)),
        ("madlad", "t5", adapters.DoubleSeqBnConfig(reduction_factor=3, leave_out=[1]))):
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        model = load(tests / "import" / "base" / base, kind)
        sources, inputs = batch(model.config.pad_token_id, model.config.vocab_size)
        adapters.init(model)
        model.add_adapter("demo", config=config)
        model.set_active_adapters("demo")
        model = model.double().eval()
        randomize(model.named_parameters(), lambda key: ".adapters." in key)
        want = logits(model, sources, inputs)
        # its library does not write shared tensors, such as the norm's, as safetensors
        model.float().save_adapter(str(work / "made"), "demo", use_safetensors=not config.ln_before)
        plain, back = there_and_back(base, kind, work / "made", "adapterhub", work)
        adapters.init(plain)
        plain.set_active_adapters(plain.load_adapter(str(back), use_safetensors=True))
        check(f"adapterhub {base}", logits(plain.double().eval(), sources, inputs), want)
