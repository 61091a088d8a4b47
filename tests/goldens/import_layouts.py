#!/usr/bin/env python3
"""Makes tests/import/layouts/NAME/: the weights of a tests/import/model/NAME as transformers
saves them otherwise: safetensors/ or bin/, whichever the model is not, and both in
shards.

Needs: pip install torch transformers safetensors
"""
import pathlib
import shutil

import transformers as hf

tests = pathlib.Path(__file__).resolve().parent.parent / "import"
for name in "m2m100", "mbart", "marian_two", "t5":
    model = hf.AutoModelForSeq2SeqLM.from_pretrained(tests / "model" / name)
    whole = (tests / "model" / name / "model.safetensors").exists()
    for layout, safe, size in [("bin" if whole else "safetensors", not whole, "1GB"),
                               ("shards", True, "10KB"), ("bin_shards", False, "10KB")]:
        path = tests / "layouts" / name / layout
        shutil.rmtree(path, ignore_errors=True)
        model.save_pretrained(path, safe_serialization=safe, max_shard_size=size)
        (path / "config.json").unlink()
        (path / "generation_config.json").unlink(missing_ok=True)
        for file in path.iterdir():
            file.chmod(0o644)
