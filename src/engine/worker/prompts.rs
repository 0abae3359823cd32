//! Prompts of random ids or of text, another one for every row of every generation.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Refusal;
use crate::engine::Prompts;
use crate::engine::text::passages::{Passages, Walk};

/// An endless series of prompts.
#[derive(Debug)]
pub(super) struct PromptSource<'a> {
    random: ChaCha8Rng,
    from: From<'a>,
}

/// What prompts are made of.
#[derive(Debug)]
enum From<'a> {
    /// Ids below the vocabulary's size.
    Ids { vocab: u32 },
    /// Texts, and the walk through their prompts of the length asked for last.
    Text {
        passages: &'a Passages,
        walk: Option<(usize, Walk<'a>)>,
    },
}

impl<'a> PromptSource<'a> {
    /// The series of this seed over ids below `vocab`.
    pub(super) fn random(seed: u64, vocab: u32) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            from: From::Ids {
                vocab: vocab.max(1),
            },
        }
    }

    /// The series of this seed over the prompts that can be cut from texts.
    pub(super) fn text(seed: u64, passages: &'a Passages) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            from: From::Text {
                passages,
                walk: None,
            },
        }
    }

    /// The next `batch` rows of `length` ids; both are 1 or more.
    pub(super) fn next(&mut self, batch: usize, length: usize) -> Result<Prompts, Refusal> {
        let random = &mut self.random;
        let ids = match &mut self.from {
            From::Ids { vocab } => (0..batch * length)
                .map(|_| random.random_range(0..*vocab))
                .collect(),
            From::Text { passages, walk } => {
                if walk.as_ref().is_none_or(|(of, _)| *of != length) {
                    let numbers = [random.next_u64(), random.next_u64()];
                    *walk = Walk::new(passages, length, numbers).map(|walk| (length, walk));
                }
                let Some((_, walk)) = walk else {
                    let reason = format!("no prompt of {length} tokens can be cut from the text");
                    return Err(Refusal::Unsupported { reason });
                };
                (0..batch).flat_map(|_| walk.next()).collect()
            }
        };
        Ok(Prompts::new(ids, batch).expect("batch and length are 1 or more"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::engine::text::passages::{Cut, Passage};

    fn book(tokens: u32) -> Passages {
        Passages {
            cut: Cut::Anywhere,
            all: vec![Passage {
                head: vec![1],
                body: (10..10 + tokens).collect(),
                tail: Vec::new(),
            }],
        }
    }

    #[test]
    fn every_row_of_every_generation_is_another_prompt() {
        let book = book(30);
        for mut source in [PromptSource::random(1, 1_000), PromptSource::text(1, &book)] {
            let (first, second) = (source.next(2, 16).unwrap(), source.next(2, 16).unwrap());
            let rows: HashSet<&[u32]> = first
                .ids()
                .chunks(16)
                .chain(second.ids().chunks(16))
                .collect();
            assert_eq!(rows.len(), 4);
            assert!(rows.iter().all(|row| row.iter().all(|id| *id < 1_000)));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_prompts_and_another_does_not() {
        let first = |seed| PromptSource::random(seed, 32_000).next(3, 8).unwrap();
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
        let book = book(1_000);
        let first = |seed| PromptSource::text(seed, &book).next(3, 8).unwrap();
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }

    #[test]
    fn a_length_that_no_text_has_is_refused() {
        let book = book(5);
        let message = PromptSource::text(1, &book)
            .next(1, 7)
            .unwrap_err()
            .to_string();
        assert!(message.contains("no prompt of 7 tokens"), "{message}");
        assert!(PromptSource::text(1, &book).next(1, 6).is_ok());
    }
}
