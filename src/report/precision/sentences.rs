//! What precisions save and lose, in sentences.

use super::{Cost, PrecisionRow, Precisions};
use crate::report::number;
use crate::report::provenance::bytes;
use crate::study::quality::Budget;

impl Precisions {
    /// The sentences that name the cheapest precision within the budget and the price of the next
    /// better one.
    pub fn sentences(&self) -> Vec<String> {
        let limits = limits(self.budget);
        let noun = self.noun();
        let judged = || self.rows.iter().filter_map(|row| row.quality.as_ref());
        if judged().next().is_none() {
            return vec![format!("No {noun} was judged.")];
        }
        let Some(row) = self.cheapest() else {
            let mut sentences = vec![format!(
                "No {noun} keeps {limits} with the upper ends of its intervals."
            )];
            if judged().any(|quality| quality.kld_mean.high().is_none()) {
                sentences.push("A single window has no interval; judge more of them.".to_owned());
            }
            sentences.extend(self.unjudged());
            return sentences;
        };
        let kind = match self.cost() {
            Cost::Price => "cheapest",
            Cost::Bytes => "smallest",
        };
        let mut sentences = vec![format!(
            "The {kind} {noun} within {limits}, by the upper ends of the intervals, is {}: {}{}.",
            row.variant,
            self.told(row),
            loss(row)
        )];
        match self.next_better(row) {
            None => sentences.push("No other one is shown to diverge less.".to_owned()),
            Some(better) => {
                let cost = self.cost();
                let more = row.cost(cost).zip(better.cost(cost));
                // Of two that differ in their cache alone the weights take the same.
                let more = more.filter(|(own, other)| own.total_cmp(other).is_ne());
                let more = more.map_or(String::new(), |(own, other)| {
                    format!(" ({:+.1} %)", (other / own - 1.0) * 100.0)
                });
                sentences.push(format!(
                    "The next better one is {}: {}{more}{}.",
                    better.variant,
                    self.told(better),
                    loss(better)
                ));
            }
        }
        if self.cost() == Cost::Bytes {
            sentences.push(format!(
                "Prices per {noun} are not known here, so bytes decide."
            ));
        }
        sentences.extend(self.unjudged());
        sentences
    }

    /// What the sentences know nothing of.
    fn unjudged(&self) -> Option<String> {
        let rows = self.rows.iter().filter(|row| row.quality.is_none());
        let names: Vec<String> = rows.map(|row| row.variant.to_string()).collect();
        (!names.is_empty()).then(|| format!("Not judged: {}.", names.join(", ")))
    }

    /// What a row is called.
    pub(in crate::report) fn noun(&self) -> &'static str {
        if self.rows.iter().all(|row| row.variant.kv.is_none()) {
            "precision"
        } else {
            "combination of weights and KV cache"
        }
    }

    /// The cost of a row in words.
    fn told(&self, row: &PrecisionRow) -> String {
        match self.cost() {
            Cost::Price => {
                let batch = self
                    .batches
                    .last()
                    .map_or(String::new(), |batch| format!(" at batch {batch}"));
                format!("{} $/Mtok{batch}", number::center(row.price().as_ref()))
            }
            Cost::Bytes => row
                .engine
                .as_ref()
                .map_or(number::ABSENT.to_owned(), |engine| {
                    let weights = bytes(engine.weight_bytes);
                    let cache = row.variant.kv.map_or(String::new(), |_| {
                        format!(
                            " and {} per token of context",
                            bytes(engine.kv_bytes_per_token)
                        )
                    });
                    format!("{weights} on the device{cache}")
                }),
        }
    }
}

/// What a variant loses, in words.
fn loss(row: &PrecisionRow) -> String {
    row.quality.as_ref().map_or(String::new(), |quality| {
        format!(
            ", perplexity ratio {}, mean KLD {}",
            number::center(Some(&quality.perplexity_ratio)),
            number::center(Some(&quality.kld_mean))
        )
    })
}

fn limits(budget: Budget) -> String {
    let ratio = budget
        .max_ppl_ratio
        .map(|ratio| format!("a perplexity ratio of {ratio}"));
    let kld = budget.max_kld.map(|kld| format!("a mean KLD of {kld}"));
    let limits: Vec<String> = ratio.into_iter().chain(kld).collect();
    limits.join(" and ")
}
