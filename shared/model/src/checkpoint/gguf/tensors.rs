//! Where a tensor of Hugging Face's name lies in a GGUF file, and how to turn it back.

use super::parts::Parts;
use crate::config::{LatentConfig, MixerConfig, Names};
use crate::{Error, Family, ModelConfig};

/// Where a tensor comes from.
#[derive(Debug, PartialEq)]
pub(super) enum Source {
    /// As it is.
    Plain(String),
    /// Rows of query or key heads, whose halves llama.cpp interleaves.
    Interleaved(String, usize),
    /// A norm with the one of "one plus weight" already added.
    PlusOne(String),
    /// One of several stacked along the first dimension.
    Stacked(String, usize),
    /// Latent attention's expansion, split in two: keys transposed, and values.
    Expansion { keys: String, values: String },
}

/// Reads the tensor that Hugging Face calls `name`.
pub(super) fn read(
    file: &mut Parts,
    config: &ModelConfig,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, Error> {
    let missing = || Error::TensorMissing(name.to_owned());
    match find(config, name).ok_or_else(missing)? {
        Source::Plain(source) => plain(file, &source, shape),
        Source::Interleaved(source, heads) => {
            Ok(half_apart(&plain(file, &source, shape)?, heads, shape))
        }
        Source::PlusOne(source) => {
            let values = plain(file, &source, shape)?;
            Ok(values.into_iter().map(|v| v - 1.0).collect())
        }
        Source::Stacked(source, index) => {
            let stacked = file.tensor(&source).ok_or_else(missing)?;
            if stacked.shape.get(1..) != Some(shape) {
                return Err(wrong_shape(&source, shape, &stacked.shape));
            }
            Ok(file.read_slice_f32(&source, index)?)
        }
        Source::Expansion { keys, values } => {
            let config = config.layers.iter().find_map(|layer| match layer.mixer {
                MixerConfig::Latent(latent) => Some(latent),
                _ => None,
            });
            expansion(file, &config.ok_or_else(missing)?, &keys, &values)
        }
    }
}

fn plain(file: &mut Parts, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
    let tensor = file.tensor(name);
    let tensor = tensor.ok_or_else(|| Error::TensorMissing(name.to_owned()))?;
    // Dimensions of one come and go in llama.cpp's hands.
    let real = |shape: &[usize]| shape.iter().copied().filter(|&n| n > 1).collect::<Vec<_>>();
    if real(&tensor.shape) != real(shape) {
        return Err(wrong_shape(name, shape, &tensor.shape));
    }
    Ok(file.read_f32(name)?)
}

fn wrong_shape(name: &str, expected: &[usize], actual: &[usize]) -> Error {
    Error::Shape {
        name: name.to_owned(),
        expected: expected.to_vec(),
        actual: actual.to_vec(),
    }
}

/// Rows in which a head's pairs are neighbours, to rows in which they are half a head apart.
fn half_apart(values: &[f32], heads: usize, shape: &[usize]) -> Vec<f32> {
    let row: usize = shape[1..].iter().product();
    let head_dim = shape[0] / heads;
    let mut out = Vec::with_capacity(values.len());
    for head in 0..heads {
        for part in 0..2 {
            for pair in 0..head_dim / 2 {
                let from = (head * head_dim + 2 * pair + part) * row;
                out.extend_from_slice(&values[from..from + row]);
            }
        }
    }
    out
}

/// `kv_b_proj` `[heads * (nope + value), rank]`, of keys `[heads, rank, nope]` and values
/// `[heads, value, rank]`; or as it is, in files from before llama.cpp split it.
fn expansion(
    file: &mut Parts,
    config: &LatentConfig,
    keys: &str,
    values: &str,
) -> Result<Vec<f32>, Error> {
    let (heads, rank) = (config.heads, config.kv_rank);
    let (nope, value) = (config.nope_dim, config.value_dim);
    let whole = keys.replace("attn_k_b", "attn_kv_b");
    if file.tensor(&whole).is_some() {
        return plain(file, &whole, &[heads * (nope + value), rank]);
    }
    let keys = plain(file, keys, &[heads, rank, nope])?;
    let values = plain(file, values, &[heads, value, rank])?;
    let mut out = Vec::with_capacity(keys.len() + values.len());
    let heads = keys
        .chunks_exact(rank * nope)
        .zip(values.chunks_exact(value * rank));
    for (keys, values) in heads {
        for i in 0..nope {
            out.extend((0..rank).map(|j| keys[j * nope + i]));
        }
        out.extend_from_slice(values);
    }
    Ok(out)
}

pub(super) fn find(config: &ModelConfig, name: &str) -> Option<Source> {
    let names = config.names();
    match name {
        "model.embed_tokens.weight" => return Some(Source::Plain("token_embd.weight".into())),
        "lm_head.weight" => return Some(Source::Plain("output.weight".into())),
        _ => {}
    }
    let rest = name.strip_prefix("model.")?;
    if rest.strip_suffix(".weight") == Some(names.final_norm) {
        let name = match config.family {
            Family::Lfm2 => "token_embd_norm.weight",
            _ => "output_norm.weight",
        };
        return Some(norm(config, name.into()));
    }
    let (layer, rest) = rest.strip_prefix("layers.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    in_layer(config, names, layer, rest)
}

fn norm(config: &ModelConfig, name: String) -> Source {
    match config.norm_plus_one {
        true => Source::PlusOne(name),
        false => Source::Plain(name),
    }
}

fn in_layer(config: &ModelConfig, names: &Names, layer: usize, rest: &str) -> Option<Source> {
    let (path, end) = rest.rsplit_once('.')?;
    let full = |name: &str| format!("blk.{layer}.{name}.{end}");
    let norms = [
        (names.before_mixer, "attn_norm"),
        (names.after_mixer, "post_attention_norm"),
        (names.before_feed_forward, "ffn_norm"),
        (names.after_feed_forward, "post_ffw_norm"),
    ];
    if let Some((_, gguf)) = norms.iter().find(|(name, _)| *name == Some(path)) {
        return Some(norm(config, full(gguf)));
    }
    if let Some(part) = path.strip_prefix("self_attn.") {
        return attention(config, names, layer, part, end);
    }
    let convolution = match rest {
        "conv.in_proj.weight" => Some("shortconv.in_proj.weight"),
        "conv.conv.weight" => Some("shortconv.conv.weight"),
        "conv.out_proj.weight" => Some("shortconv.out_proj.weight"),
        _ => None,
    };
    if let Some(name) = convolution {
        return Some(Source::Plain(format!("blk.{layer}.{name}")));
    }
    let part = path.strip_prefix(names.feed_forward)?.strip_prefix('.')?;
    if part == "gate" {
        return Some(Source::Plain(match end {
            "e_score_correction_bias" => format!("blk.{layer}.exp_probs_b.bias"),
            _ => full("ffn_gate_inp"),
        }));
    }
    let kind = |part: &str| match part {
        part if part == names.gate => Some("ffn_gate"),
        // Phi-3's gate and up in one.
        part if part == names.up || part == "gate_up_proj" => Some("ffn_up"),
        part if part == names.down => Some("ffn_down"),
        _ => None,
    };
    if let Some(part) = part.strip_prefix("shared_experts.") {
        return Some(Source::Plain(full(&format!("{}_shexp", kind(part)?))));
    }
    if let Some((index, part)) = part
        .strip_prefix("experts.")
        .and_then(|p| p.split_once('.'))
    {
        let name = full(&format!("{}_exps", kind(part)?));
        return Some(Source::Stacked(name, index.parse().ok()?));
    }
    Some(Source::Plain(full(kind(part)?)))
}

fn attention(
    config: &ModelConfig,
    names: &Names,
    layer: usize,
    part: &str,
    end: &str,
) -> Option<Source> {
    let full = |name: &str| format!("blk.{layer}.{name}.{end}");
    let heads = match config.layers.get(layer)?.mixer {
        MixerConfig::Attention(attention) => Some((attention.heads, attention.kv_heads)),
        _ => None,
    };
    // Only llama.cpp's "llama" turns neighbours; all others turn halves, as Hugging Face does.
    let interleaved = heads.filter(|_| config.family == Family::Llama);
    let turned = |name: &str, heads: Option<usize>| match heads {
        Some(heads) => Source::Interleaved(full(name), heads),
        None => Source::Plain(full(name)),
    };
    Some(match part {
        "q_proj" => turned("attn_q", interleaved.map(|(q, _)| q)),
        "k_proj" => turned("attn_k", interleaved.map(|(_, kv)| kv)),
        "v_proj" => Source::Plain(full("attn_v")),
        "qkv_proj" => Source::Plain(full("attn_qkv")),
        "q_a_proj" => Source::Plain(full("attn_q_a")),
        "q_a_layernorm" => Source::Plain(full("attn_q_a_norm")),
        "q_b_proj" => Source::Plain(full("attn_q_b")),
        "kv_a_proj_with_mqa" => Source::Plain(full("attn_kv_a_mqa")),
        "kv_a_layernorm" => Source::Plain(full("attn_kv_a_norm")),
        "kv_b_proj" => Source::Expansion {
            keys: full("attn_k_b"),
            values: full("attn_v_b"),
        },
        part if part == names.attention_output => Source::Plain(full("attn_output")),
        part if part == names.q_norm => norm(config, full("attn_q_norm")),
        part if part == names.k_norm => norm(config, full("attn_k_norm")),
        _ => return None,
    })
}
