//! The small model inside the executable, trained by `scripts/train-tiny`.
//!
//! Llama-shaped; every width is a multiple of 256, so that every quantized type applies, and it has a
//! head of its own, so that embedding and output are both exercised. It is trained and not drawn, since
//! what a precision costs in quality shows only on weights that have learned something.

use std::collections::BTreeMap;

use tokenizers::Tokenizer;

use super::cards::Architecture;
use super::weights::files;
use super::{EngineError, config, tokenizer};

/// What its files are called together.
pub(crate) const NAME: &str = "tiny";
/// `model.safetensors`
pub(crate) const WEIGHTS: &[u8] = include_bytes!("../../models/tiny/model.safetensors");
/// A text that it was not trained on: three books of the same translation.
pub const HELD_OUT: &str = include_str!("../../models/tiny/held-out.txt");

/// `config.json`
pub(crate) const CONFIG: &[u8] = include_bytes!("../../models/tiny/config.json");
/// `tokenizer.json`
pub(crate) const TOKENIZER: &[u8] = include_bytes!("../../models/tiny/tokenizer.json");

/// Family and shape.
pub(crate) fn architecture() -> Architecture {
    config::parse(CONFIG).expect("the embedded config.json is parsed by a test")
}

/// Its tokenizer.
pub(crate) fn tokenizer() -> Result<Tokenizer, EngineError> {
    tokenizer::from_bytes(TOKENIZER.to_vec(), NAME)
}

/// SHA-256 of each file by name.
pub(crate) fn digests() -> BTreeMap<String, String> {
    let files = [
        ("config.json", CONFIG),
        ("model.safetensors", WEIGHTS),
        ("tokenizer.json", TOKENIZER),
    ];
    files
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), files::sha256_of(bytes)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{D, Device};

    use super::*;
    use crate::clock::Manual;
    use crate::engine::decoder::{Decoder, reference};
    use crate::engine::weights::{self, Wanted, Weights};
    use crate::engine::{Capacity, Engine, Progress, Prompts, TokenId};
    use crate::study::model::{ModelSource, Precision};
    use crate::units::Nanos;

    /// Tokens of a window, as in training.
    const WINDOW: usize = 256;
    /// Windows that are looked at, spread over the text.
    const WINDOWS: usize = 6;

    fn trained() -> Weights {
        let progress = Progress::default();
        let source = ModelSource::Tiny;
        let wanted = Wanted::new(&source, Precision::Native, 1);
        weights::load(wanted, &Device::Cpu, &progress).unwrap()
    }

    fn ids(text: &str) -> Vec<TokenId> {
        let encoded = tokenizer().unwrap().encode_fast(text, false).unwrap();
        encoded.get_ids().to_vec()
    }

    #[test]
    fn every_quantized_type_applies_without_falling_back() {
        for size in architecture().shape.linears() {
            assert!(size.columns.is_multiple_of(256));
        }
    }

    #[test]
    fn its_files_take_eight_megabytes_at_most() {
        assert!(WEIGHTS.len() + TOKENIZER.len() + CONFIG.len() <= 8_000_000);
        assert!(HELD_OUT.len() <= 300_000);
    }

    #[test]
    fn the_tokenizer_gives_the_text_back() {
        let tokenizer = tokenizer().unwrap();
        let text = "And he said, Über 3 λόγοι.\n";
        assert_eq!(tokenizer.decode(&ids(text), false).unwrap(), text);
        assert_eq!(
            tokenizer.get_vocab_size(true),
            architecture().shape.vocab as usize
        );
    }

    /// Both models on the same tokens of a text that neither was made from; the frequencies of the other
    /// one are even counted on that text itself, which favours it.
    #[test]
    fn its_perplexity_is_far_below_that_of_word_frequencies() {
        let ids = ids(HELD_OUT);
        let mut counts: HashMap<TokenId, usize> = HashMap::new();
        for id in &ids {
            *counts.entry(*id).or_default() += 1;
        }
        let weights = trained();
        let (mut scored, mut trained, mut unigram) = (0, 0.0, 0.0);
        let stride = ids.len() / WINDOWS;
        for window in ids.chunks(stride).filter_map(|part| part.get(..=WINDOW)) {
            let logits = reference::logits(
                &weights,
                (&window[..WINDOW], WINDOW),
                &Device::Cpu,
                &Progress::default(),
            )
            .unwrap();
            let logs = candle_nn::ops::log_softmax(&logits, D::Minus1).unwrap();
            for (row, id) in logs.to_vec2::<f32>().unwrap().iter().zip(&window[1..]) {
                trained -= f64::from(row[*id as usize]);
                unigram -= (counts[id] as f64 / ids.len() as f64).ln();
                scored += 1;
            }
        }
        let [trained, unigram] = [trained, unigram].map(|sum| (sum / f64::from(scored)).exp());
        assert_eq!(scored, 6 * 256);
        assert!(trained < unigram / 4.0, "{trained} against {unigram}");
    }

    #[test]
    fn its_greedy_text_is_pinned() {
        let prompt = ids("And God said unto Moses,");
        let mut decoder = Decoder::new(trained(), Device::Cpu).unwrap();
        let capacity = Capacity {
            batch: 1,
            context: 128,
        };
        decoder.reserve(capacity).unwrap();
        let prompts = Prompts::new(prompt, 1).unwrap();
        let clock = Manual::new(Nanos::new(0));
        let trace = decoder
            .generate(&prompts, 40, &clock, &Progress::default())
            .unwrap();
        let text = tokenizer().unwrap().decode(&trace.ids, false).unwrap();
        insta::assert_snapshot!(text, @" Thus saith the LORD, I will I will be a man, and I will make thee, and I will make thee, and I will make thee, and I will make thee, and I");
    }
}
