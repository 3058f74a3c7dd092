#!/usr/bin/env python3
"""Measures tier0 and llama.cpp on the same GGUF files, in turns, and prints the ratios.

    benches/compare/run.sh [MODEL.gguf ...]       # installs llama-cpp-python, builds tier0, runs this

Both run the same work on the same number of threads: reading one prompt of 512 tokens, and writing
with 1 and with 16 sequences at the same time, behind prompts of 128 tokens each. llama.cpp is driven
through its low-level API, all sequences in one `llama_decode`. The two take turns, so that what else
the machine does meets both; the median of the rounds counts. Keep the machine quiet.
"""

import argparse
import ctypes
import json
import pathlib
import random
import statistics
import subprocess
import time

import llama_cpp as llama

PROMPT_TOKENS = 512
"""Tokens of the prompt whose reading is timed."""
CONTEXT_TOKENS = 128
"""Tokens of each prompt that is written behind."""
ORDINARY_IDS = (1000, 30000)
"""Ids that are ordinary tokens in every vocabulary."""


class LlamaCpp:
    """One model in llama.cpp."""

    def __init__(self, path, n_threads, n_sequences, n_generated):
        llama.llama_backend_init()
        llama.llama_log_set(_silent, ctypes.c_void_p())
        self.model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        params = llama.llama_context_default_params()
        params.n_ctx = max(PROMPT_TOKENS, n_sequences * (CONTEXT_TOKENS + n_generated)) + 64
        params.n_batch = params.n_ubatch = 512
        params.n_seq_max = n_sequences
        params.n_threads = params.n_threads_batch = n_threads
        params.kv_unified = True
        self.context = llama.llama_init_from_model(self.model, params)
        self.n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))

    def _decode(self, tokens):
        """Runs `(token, position, sequence, wants logits)` in one batch."""
        batch = llama.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, (token, position, sequence, wanted) in enumerate(tokens):
            batch.token[i], batch.pos[i] = token, position
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
            batch.logits[i] = wanted
        status = llama.llama_decode(self.context, batch)
        llama.llama_batch_free(batch)
        if status != 0:
            raise SystemExit(f"llama_decode failed with {status}")

    def _clear(self):
        llama.llama_memory_clear(llama.llama_get_memory(self.context), True)

    def prefill(self, prompt):
        """Tokens a second of reading one prompt."""
        self._clear()
        start = time.perf_counter()
        self._decode([(t, i, 0, i == len(prompt) - 1) for i, t in enumerate(prompt)])
        llama.llama_synchronize(self.context)
        return len(prompt) / (time.perf_counter() - start)

    def decode(self, prompts, n_generated):
        """Tokens a second of writing, all sequences together, the likeliest token each time."""
        self._clear()
        for sequence, prompt in enumerate(prompts):
            self._decode([(t, i, sequence, i == len(prompt) - 1) for i, t in enumerate(prompt)])
        last = [prompt[-1] for prompt in prompts]
        start = time.perf_counter()
        for step in range(n_generated):
            position = len(prompts[0]) + step
            self._decode([(token, position, sequence, True) for sequence, token in enumerate(last)])
            last = [self._likeliest(row) for row in range(len(prompts))]
        return len(prompts) * n_generated / (time.perf_counter() - start)

    def _likeliest(self, row):
        import numpy

        logits = llama.llama_get_logits_ith(self.context, row)
        return int(numpy.ctypeslib.as_array(logits, shape=(self.n_vocab,)).argmax())


@llama.llama_log_callback
def _silent(_level, _text, _data):
    """llama.cpp's log is not wanted here."""


def tier0_rates(binary, path, prompt_tokens, n_generated, batches):
    """What `tier0 bench engine` measures, by batch size."""
    command = [binary, "bench", "engine", "--model", str(path), "--json", "--repeat", "1"]
    command += ["--prompt-tokens", str(prompt_tokens), "--gen-tokens", str(n_generated)]
    command += ["--batch", ",".join(map(str, batches))]
    rates = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {rate["batch"]: rate for rate in rates}


def prompts(n, n_tokens, rng):
    return [[rng.randrange(*ORDINARY_IDS) for _ in range(n_tokens)] for _ in range(n)]


def compare(args, path):
    rng = random.Random(0)
    batches = [int(batch) for batch in args.batch.split(",")]
    engine = LlamaCpp(path, args.threads, max(batches), args.gen_tokens)
    figures = {name: ([], []) for name in ["prefill 512", *(f"decode {batch}" for batch in batches)]}
    for _ in range(args.rounds):
        figures["prefill 512"][1].append(engine.prefill(prompts(1, PROMPT_TOKENS, rng)[0]))
        read = tier0_rates(args.tier0, path, PROMPT_TOKENS, 1 + 1, [1])
        figures["prefill 512"][0].append(read[1]["prefill_tps"])
        ours = tier0_rates(args.tier0, path, CONTEXT_TOKENS, args.gen_tokens, batches)
        for batch in batches:
            figures[f"decode {batch}"][0].append(ours[batch]["decode_tps"])
            theirs = engine.decode(prompts(batch, CONTEXT_TOKENS, rng), args.gen_tokens)
            figures[f"decode {batch}"][1].append(theirs)
    print(f"\n{path.stem}, {args.threads} threads, tokens a second (median of {args.rounds})")
    print(f"{'':<14}{'tier0':>9}{'llama.cpp':>11}{'ratio':>8}")
    for name, (ours, theirs) in figures.items():
        ours, theirs = statistics.median(ours), statistics.median(theirs)
        print(f"{name:<14}{ours:>9.1f}{theirs:>11.1f}{ours / theirs:>8.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path, metavar="MODEL.gguf")
    parser.add_argument("--tier0", default="target/release/tier0", help="the binary")
    parser.add_argument("--threads", type=int, default=2, help="of llama.cpp; set TIER0_THREADS to the same")
    parser.add_argument("--batch", default="1,16", help="sequences at the same time")
    parser.add_argument("--gen-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for path in args.models:
        compare(args, path)


if __name__ == "__main__":
    main()
