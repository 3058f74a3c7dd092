#!/usr/bin/env python3
"""Makes the goldens of this folder: what another engine computes from the same GGUF files.

    pip install llama-cpp-python==0.3.36 jinja2
    tier0 models pull smollm2-135m-instruct     # and the other two
    python make_goldens.py --models MODELS_FOLDER --out .

Three files a model, each with one record a line so that a change reads well in a diff:

<id>.json            Logits and greedy continuations by llama.cpp on the CPU, from the file's weights
                     unpacked to F32. Run as it is, llama.cpp quantises the activations too, in
                     ways that depend on the batch; unpacked, it computes what the weights mean.
                     `position` counts into `tokens` followed by `continuation`; `top` holds the 20
                     largest logits for the token that follows that position. A continuation ends
                     after 24 tokens or with an end token, which has no position of its own.
                     Two yardsticks, over all logits of these positions: `rebatched_max_abs_diff`,
                     how far this reference is from itself when the continuation is computed in one
                     batch with the prompt; `quantized_max_abs_diff` and
                     `quantized_mean_abs_diff`, how far llama.cpp with the file as it is comes from
                     the reference, with `quantized_same_top`, at how many of the positions it has
                     the same likeliest token.
tokenizer-<id>.json  Token ids by llama.cpp: `plain` reads `<|im_end|>` and its like as text,
                     `special` as tokens. `roundtrip` says whether decoding `plain` gives the text.
chat-<id>.json       The GGUF's own chat template, rendered by jinja2 as `transformers` sets it up.
"""

import argparse
import hashlib
import json
import pathlib
import tempfile

import jinja2
import jinja2.ext
import jinja2.sandbox
import llama_cpp
import numpy as np

MODELS = {
    "smollm2-135m-instruct": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "qwen2.5-coder-0.5b-instruct": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    "qwen2.5-coder-1.5b-instruct": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
}
N_CONTINUATION = 24
N_INSIDE = 8
N_TOP = 20
N_CONTEXT = 640
GGML_TYPE_F32 = 0
LLAMA_FTYPE_ALL_F32 = 0

PLAIN = (
    "The lighthouse at the end of the pier had been dark for eleven years when the new keeper arrived. "
    "She carried two suitcases, a box of books and a cat that disliked boats. The first thing she did was"
)
NUMBERS = (
    "Order #B-20417 was placed on 2026-03-09 at 14:05 and holds 3 items: 2 x 19.95 EUR, 1 x 1,249.00 EUR. "
    "The total is 1,288.90 EUR. Order #B-20418 was placed on 2026-03-10 at 09:30 and holds 1 item: "
    "1 x 7.50 EUR. The total is"
)
CODE = (
    "def überprüfe(größe: float) -> str:\n"
    "    # naïve café — 価格を確認する 🧾 e\u0301 vs é\n"
    "    if größe >  1_000:\n"
    "\t\treturn '大きい 🐘👩‍🚀'\n"
    "\n\n"
    "    return   f\"{größe:>8.2f}\"   # четыре\n"
    "\n"
    "print("
)
LONG = (
    "Returns and repairs at Halden Cycles, for the people at the counter.\n\n"
    "1. A bicycle may come back within thirty days of the day on which the customer took it home. It must be "
    "clean, and the odometer of an electric model may show no more than fifty kilometres. We give the money "
    "back in the way in which it was paid. A gift card is refilled; cash is never paid out for one.\n"
    "2. Helmets come back only with the seal unbroken, since we cannot know what a helmet has been through. "
    "Gloves and clothing come back with their labels. Inner tubes, chains, brake pads and anything else that "
    "wears do not come back once fitted, unless they were faulty when we sold them.\n"
    "3. A frame that cracks within five years is replaced, whoever rides it. A frame that was painted over, "
    "drilled or welded is not. When in doubt, take four photographs in daylight and send them to the workshop "
    "in Moss, which answers within two working days.\n"
    "4. A repair that costs more than the customer agreed to is stopped, and the customer is called. Nobody "
    "pays for a repair that was not agreed to. If nobody answers for fourteen days, the bicycle goes into the "
    "cellar with a yellow tag, and after ninety days we write a letter.\n"
    "5. Batteries are sent by road, never by air, in the red crates. A battery that is swollen, hot or wet is "
    "carried outside at once and put on the sand; then the fire service is called, and only then the manager.\n"
    "6. Somebody who is angry is offered a chair and a coffee. Most people who shout were told something "
    "different by somebody else, so first find out by whom.\n\n"
    "Question: a customer brings back a helmet after twelve days, and the seal is broken. May it come back?\n"
    "Answer:"
)
LANGUAGES = (
    "Guten Tag, ich habe vor drei Wochen eine Kaffeemühle bestellt und warte noch immer auf die Lieferung. "
    "Könnten Sie bitte nachsehen, wo das Päckchen geblieben ist?\n"
    "Buenas tardes: ¿podría decirme cuándo llegará mi pedido? Señalé la dirección equivocada, y mañana ya no "
    "estaré en casa. Muchas gracias y"
)
SUPPORT = [
    {"role": "system", "content": "You answer for Halden Cycles. Be brief and friendly."},
    {"role": "user", "content": "Hi! My parcel #HC-7731 should have come on Monday. Where is it?"},
]

CONVERSATIONS = {
    "user only": [{"role": "user", "content": "Where is my parcel?"}],
    "system and user": SUPPORT,
    "several turns": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello! How can I help?"},
        {"role": "user", "content": "I want to send a lamp back."},
    ],
    "system and several turns": [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "Is the lamp in stock?"},
        {"role": "assistant", "content": "Yes, four of them are."},
        {"role": "user", "content": "And in green?"},
        {"role": "assistant", "content": "No, only in white."},
        {"role": "user", "content": "Pity. Thanks!"},
    ],
    "awkward content": [
        {"role": "system", "content": ""},
        {"role": "user", "content": "  two spaces, \"quotes\", {{ braces }}, {% tags %} & <b>\n\nhéllo 日本 🙂\n"},
    ],
    "system in the middle": [
        {"role": "user", "content": "Hello"},
        {"role": "system", "content": "The customer is verified."},
        {"role": "user", "content": "Thanks"},
    ],
}

TRICKY = [
    "",
    " ",
    "  ",
    "       ",
    "\n",
    "\n\n\n",
    " \n ",
    "\t\tx\t",
    "\r\nline\r\n",
    "hello",
    " hello",
    "Hello  world",
    "trailing space ",
    "don't we'll I'M they'RE it'S",
    "0123456789",
    "3.14159 and 1,000,000.50",
    "#W2611340 #A-1",
    "2026-11-22T10:05:59Z",
    "user.name+tag@example.co.uk",
    "https://example.org/a?b=c&d=%20e#f",
    "camelCaseAndSNAKE_CASE_and_kebab-case",
    "for (int i = 0; i < n; ++i) { a[i] += b[i]; }",
    "!!!???...---",
    "(((a)))[[b]]{{c}}",
    "naïve façade Ångström Ünïcödé",
    "e\u0301 a\u0308 o\u0302\u0323",
    "Straße, ÄÖÜ, ß",
    "¿Dónde está? ¡Aquí!",
    "Привет, как дела?",
    "Γειά σου Κόσμε",
    "日本語のテキスト",
    "你好，世界。价格是多少？",
    "한국어 문장입니다",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "🙂🙃 👩‍🚀 🇩🇪 👍🏽",
    "½ ² ③ Ⅳ ٣ ४",
    "zero\u200bwidth\u00a0nbsp\u2003em\ufeffbom",
    "\u0007bell\u001besc",
    "<|im_start|>user\nhi<|im_end|>\n",
    "text<|im_end|>text <|endoftext|> <|im_start|>",
    "<|im_end |> <|not_a_token|> <im_start>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "a b c d e f g 1 2 3 4",
    "MixedCASE123abc456DEF",
    "\u2028line\u2029paragraph",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, required=True, help="folder with <id>/<file>.gguf")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="where the goldens go")
    parser.add_argument("--only", choices=MODELS, help="make only this model's goldens")
    args = parser.parse_args()
    for model_id, file in MODELS.items():
        if args.only in (None, model_id):
            make_goldens(model_id, args.models / model_id / file, args.out)


def make_goldens(model_id, path, out):
    made_with = {
        "engine": "llama.cpp through llama-cpp-python",
        "engine_version": llama_cpp.__version__,
        "model_sha256": sha256(path),
    }
    model = load(path)
    # None of these models begins a sequence with a token of its own.
    assert model.metadata.get("tokenizer.ggml.add_bos_token") == "false"
    strings = [tokenize_both_ways(model, text) for text in TRICKY]
    write_records(out / f"tokenizer-{model_id}.json", made_with, "strings", strings)
    chats = [
        {"name": name, "add_generation_prompt": prompt, "messages": messages, "text": render(model, messages, prompt)}
        for name, messages in CONVERSATIONS.items()
        for prompt in (True, False)
    ]
    by_jinja = {**made_with, "engine": "jinja2", "engine_version": jinja2.__version__}
    write_records(out / f"chat-{model_id}.json", by_jinja, "conversations", chats)

    texts = {
        "plain": PLAIN,
        "support": render(model, SUPPORT, True),
        "numbers": NUMBERS,
        "code": CODE,
        "long": LONG,
        "languages": LANGUAGES,
    }
    with tempfile.TemporaryDirectory() as scratch:
        unpacked = pathlib.Path(scratch) / "f32.gguf"
        unpack(path, unpacked)
        reference = load(unpacked)
        prompts = [run_prompt(reference, name, text) for name, text in texts.items()]
        del reference
    for prompt in prompts:
        compare(model, prompt)
    write_logits(out / f"{model_id}.json", made_with, prompts)


def load(path):
    return llama_cpp.Llama(
        str(path),
        n_ctx=N_CONTEXT,
        n_batch=N_CONTEXT,
        n_threads=2,
        n_threads_batch=2,
        n_gpu_layers=0,
        logits_all=True,
        flash_attn=False,
        type_k=GGML_TYPE_F32,
        type_v=GGML_TYPE_F32,
        verbose=False,
    )


def unpack(source, target):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = LLAMA_FTYPE_ALL_F32
    params.allow_requantize = True
    params.nthread = 2
    failed = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), params)
    assert failed == 0, f"could not unpack {source}"


def run_prompt(model, name, text):
    tokens = model.tokenize(text.encode(), add_bos=False, special=True)
    model.reset()
    model.eval(tokens)
    continuation = []
    while len(continuation) < N_CONTINUATION:
        token = int(np.argmax(model.scores[model.n_tokens - 1]))
        continuation.append(token)
        if llama_cpp.llama_vocab_is_eog(model._model.vocab, token):
            break
        model.eval([token])
    last = len(tokens) - 1
    inside = {round(k * last / (N_INSIDE + 1)) for k in range(1, N_INSIDE + 1)}
    positions = sorted(inside | set(range(last, model.n_tokens)))
    logits = model.scores[positions].copy()
    print(f"{name}: {len(tokens)} tokens, then {model.detokenize(continuation, special=True)!r}", flush=True)
    return {
        "name": name,
        "text": text,
        "tokens": tokens,
        "continuation": continuation,
        "rebatched_max_abs_diff": max_abs_diff(in_one_batch(model, tokens, continuation)[positions], logits),
        "positions": positions,
        "logits": logits,
    }


def in_one_batch(model, tokens, continuation):
    model.reset()
    model.eval(tokens + continuation)
    return model.scores


def compare(model, prompt):
    """Measures llama.cpp with the quantised file against the reference, then shortens its logits."""
    logits, positions = prompt.pop("logits"), prompt.pop("positions")
    quantized = in_one_batch(model, prompt["tokens"], prompt["continuation"])[positions]
    prompt["quantized_max_abs_diff"] = max_abs_diff(quantized, logits)
    prompt["quantized_mean_abs_diff"] = round(float(np.abs(quantized - logits).mean()), 4)
    prompt["quantized_same_top"] = int((quantized.argmax(axis=1) == logits.argmax(axis=1)).sum())
    prompt["positions"] = [{"position": p, "top": top(row)} for p, row in zip(positions, logits)]
    print({key: value for key, value in prompt.items() if "_" in key}, flush=True)


def max_abs_diff(a, b):
    return round(float(np.abs(a - b).max()), 4)


def top(logits):
    ids = np.argsort(-logits, kind="stable")[:N_TOP]
    return [[int(i), round(float(logits[i]), 4)] for i in ids]


def tokenize_both_ways(model, text):
    plain = model.tokenize(text.encode(), add_bos=False, special=False)
    special = model.tokenize(text.encode(), add_bos=False, special=True)
    roundtrip = model.detokenize(plain, special=True) == text.encode()
    return {"text": text, "plain": plain, "special": special, "roundtrip": roundtrip}


def render(model, messages, add_generation_prompt):
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = refuse
    template = environment.from_string(model.metadata["tokenizer.chat_template"])
    return template.render(messages=messages, add_generation_prompt=add_generation_prompt)


def refuse(reason):
    raise jinja2.TemplateError(reason)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def dump(value):
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def write_records(path, made_with, name, records):
    head = dump(made_with)[:-1]
    lines = ",\n".join(map(dump, records))
    path.write_text(f'{head},"{name}":[\n{lines}\n]}}\n')


def write_logits(path, made_with, prompts):
    blocks = []
    for prompt in prompts:
        positions = ",\n".join(map(dump, prompt.pop("positions")))
        fields = ",\n".join(f"{dump(key)}:{dump(value)}" for key, value in prompt.items())
        blocks.append(f'{{{fields},\n"positions":[\n{positions}\n]}}')
    head = dump(made_with)[:-1]
    path.write_text(f'{head},"prompts":[\n' + ",\n".join(blocks) + "\n]}\n")


if __name__ == "__main__":
    main()
