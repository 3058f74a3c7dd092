//! The four architectures by their descriptions, in plain f64 loops: every position is computed
//! from the whole text, without cache, batch or tensors.

use std::collections::BTreeMap;

use super::files::{Architecture, Recipe};

/// A model to be computed by definition.
pub(super) struct Reference<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) weights: &'a BTreeMap<String, Vec<f32>>,
}

type Rows = Vec<Vec<f64>>;

impl Reference<'_> {
    /// The logits behind every token.
    pub(super) fn logits(&self, tokens: &[u32]) -> Rows {
        let Recipe { architecture, hidden, n_layers, tied, .. } = *self.recipe;
        let scale = if architecture == Architecture::Gemma3 { (hidden as f64).sqrt() } else { 1.0 };
        let table = self.weight("token_embd.weight");
        let embed = |token: &u32| {
            let start = *token as usize * hidden;
            table[start..start + hidden].iter().map(|w| f64::from(*w) * scale).collect()
        };
        let mut rows: Rows = tokens.iter().map(embed).collect();
        for layer in 0..n_layers {
            self.layer(layer, &mut rows);
        }
        let output = if tied { "token_embd.weight" } else { "output.weight" };
        rows.iter().map(|row| self.product(output, &self.rms_norm("output_norm.weight", row))).collect()
    }

    fn weight(&self, name: &str) -> &[f32] {
        &self.weights[name]
    }

    /// `W·x`.
    fn product(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let dot = |row: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
        self.weight(name).chunks_exact(x.len()).map(dot).collect()
    }

    fn rms_norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mean_square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let factor = 1.0 / (mean_square + f64::from(self.recipe.epsilon)).sqrt();
        x.iter().zip(self.weight(name)).map(|(x, w)| x * factor * f64::from(*w)).collect()
    }

    fn layer(&self, layer: usize, rows: &mut Rows) {
        let named = |name: &str| format!("blk.{layer}.{name}.weight");
        let post = |name: &str, row: Vec<f64>| match self.recipe.architecture {
            Architecture::Gemma3 => self.rms_norm(&named(name), &row),
            _ => row,
        };
        let inputs: Rows = rows.iter().map(|row| self.rms_norm(&named("attn_norm"), row)).collect();
        for (row, mixed) in rows.iter_mut().zip(self.attention(layer, &inputs)) {
            let mixed = self.product(&named("attn_output"), &mixed);
            add(row, &post("post_attention_norm", mixed));
        }
        for row in rows {
            let x = self.rms_norm(&named("ffn_norm"), row);
            let gate = self.product(&named("ffn_gate"), &x);
            let up = self.product(&named("ffn_up"), &x);
            let inner: Vec<f64> = gate.iter().zip(up).map(|(g, u)| self.activation(*g) * u).collect();
            add(row, &post("post_ffw_norm", self.product(&named("ffn_down"), &inner)));
        }
    }

    fn activation(&self, x: f64) -> f64 {
        match self.recipe.architecture {
            Architecture::Gemma3 => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }
            _ => x / (1.0 + (-x).exp()),
        }
    }

    /// The heads of one projection at one position, `[n_heads][head_dim]`.
    fn heads(&self, layer: usize, which: &str, x: &[f64]) -> Rows {
        let mut all = self.product(&format!("blk.{layer}.{which}.weight"), x);
        if self.recipe.architecture == Architecture::Qwen2 {
            for (value, bias) in all.iter_mut().zip(self.weight(&format!("blk.{layer}.{which}.bias"))) {
                *value += f64::from(*bias);
            }
        }
        all.chunks_exact(self.recipe.head_dim).map(<[f64]>::to_vec).collect()
    }

    /// Query or key heads: normalised where the architecture does so, then rotated.
    fn turned_heads(&self, layer: usize, which: &str, x: &[f64], position: usize) -> Rows {
        let normalised = matches!(self.recipe.architecture, Architecture::Qwen3 | Architecture::Gemma3);
        let mut heads = self.heads(layer, which, x);
        for head in &mut heads {
            if normalised {
                *head = self.rms_norm(&format!("blk.{layer}.{which}_norm.weight"), head);
            }
            self.rotate(layer, head, position);
        }
        heads
    }

    /// Gemma 3: five layers with a window, then one without.
    fn window(&self, layer: usize) -> Option<usize> {
        let slides = self.recipe.architecture == Architecture::Gemma3 && layer % 6 != 5;
        self.recipe.window.filter(|_| slides)
    }

    fn rotate(&self, layer: usize, head: &mut [f64], position: usize) {
        let half = head.len() / 2;
        let (base, factor) = match self.window(layer) {
            Some(_) => (10_000.0, 1.0),
            None => (self.recipe.rope_base, self.recipe.rope_factor.unwrap_or(1.0)),
        };
        for i in 0..half {
            let divisor = self.recipe.rope_divisors.as_ref().map_or(1.0, |d| d[i]);
            let frequency = f64::from(base).powf(-(i as f64) / half as f64);
            let angle = position as f64 * frequency / f64::from(factor) / f64::from(divisor);
            let (a, b) = match self.recipe.architecture {
                Architecture::Llama => (2 * i, 2 * i + 1),
                _ => (i, i + half),
            };
            let (x, y) = (head[a], head[b]);
            head[a] = x * angle.cos() - y * angle.sin();
            head[b] = y * angle.cos() + x * angle.sin();
        }
    }

    /// What each position's heads gather, `[n_tokens][n_heads · head_dim]`.
    fn attention(&self, layer: usize, inputs: &Rows) -> Rows {
        let Recipe { n_heads, n_kv_heads, head_dim, .. } = *self.recipe;
        let turned = |which| {
            let at = |(position, x): (usize, &Vec<f64>)| self.turned_heads(layer, which, x, position);
            inputs.iter().enumerate().map(at).collect::<Vec<_>>()
        };
        let (queries, keys) = (turned("attn_q"), turned("attn_k"));
        let values: Vec<Rows> = inputs.iter().map(|x| self.heads(layer, "attn_v", x)).collect();
        let sees = |position: usize, key: usize| {
            key <= position && self.window(layer).is_none_or(|window| position - key < window)
        };
        let mix = |position: usize, head: usize| {
            let kv = head * n_kv_heads / n_heads;
            let visible: Vec<usize> = (0..inputs.len()).filter(|key| sees(position, *key)).collect();
            let score = |key: &usize| {
                let dot: f64 = queries[position][head].iter().zip(&keys[*key][kv]).map(|(q, k)| q * k).sum();
                (dot / (head_dim as f64).sqrt()).exp()
            };
            let scores: Vec<f64> = visible.iter().map(score).collect();
            let total: f64 = scores.iter().sum();
            let gather =
                |d| visible.iter().zip(&scores).map(|(key, s)| s / total * values[*key][kv][d]).sum();
            (0..head_dim).map(gather).collect::<Vec<f64>>()
        };
        (0..inputs.len()).map(|p| (0..n_heads).flat_map(|head| mix(p, head)).collect()).collect()
    }
}

fn add(row: &mut [f64], other: &[f64]) {
    for (x, y) in row.iter_mut().zip(other) {
        *x += y;
    }
}
