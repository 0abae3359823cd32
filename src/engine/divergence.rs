//! Two distributions over the vocabulary beside one another, and a compact form of one of them.

use super::TokenId;

/// What two models made of one prediction. Logarithms are natural.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Divergence {
    /// −ln p of the true token, by the judged model.
    pub(crate) surprise: f64,
    /// The same by the reference.
    pub(crate) surprise_reference: f64,
    /// Kullback–Leibler divergence of the judged model from the reference.
    pub(crate) nats: f64,
    /// Whether both hold the same token for the most probable, the first of equals.
    pub(crate) same_top: bool,
}

/// A distribution over the vocabulary as logits and what to subtract from them: the rounding of a logit
/// is the model's own, and nothing is rounded after it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogProbabilities {
    logits: Vec<f32>,
    /// ln Σ exp(logit).
    normalizer: f64,
}

impl LogProbabilities {
    /// The softmax of logits; `None` when one is not finite.
    ///
    /// The sum is taken in double precision: over 128,000 tokens single precision loses what a small
    /// divergence consists of.
    pub(crate) fn of_logits(logits: &[f32]) -> Option<Self> {
        let highest = logits.iter().copied().reduce(f32::max)?;
        let sum: f64 = logits
            .iter()
            .map(|logit| f64::from(logit - highest).exp())
            .sum();
        if !sum.is_finite() || logits.iter().any(|logit| !logit.is_finite()) {
            return None;
        }
        Some(Self {
            logits: logits.to_vec(),
            normalizer: f64::from(highest) + sum.ln(),
        })
    }

    /// Tokens of the vocabulary.
    pub(crate) fn vocabulary(&self) -> usize {
        self.logits.len()
    }

    /// −ln p of a token.
    pub(crate) fn surprise(&self, token: TokenId) -> f64 {
        self.normalizer - f64::from(self.logits[token as usize])
    }

    /// The most probable token, the first of equals.
    fn top(&self) -> usize {
        let mut top = 0;
        for (token, logit) in self.logits.iter().enumerate() {
            if *logit > self.logits[top] {
                top = token;
            }
        }
        top
    }

    /// How this distribution, the judged one, differs from `reference` where `token` is the true one.
    ///
    /// The divergence is not below zero but for rounding, which is taken away.
    pub(crate) fn against(&self, reference: &Self, token: TokenId) -> Divergence {
        let pairs = self.logits.iter().zip(&reference.logits);
        let nats: f64 = pairs
            .map(|(judged, expected)| {
                let judged = f64::from(*judged) - self.normalizer;
                let expected = f64::from(*expected) - reference.normalizer;
                expected.exp() * (expected - judged)
            })
            .sum();
        Divergence {
            surprise: self.surprise(token),
            surprise_reference: reference.surprise(token),
            nats: nats.max(0.0),
            same_top: self.top() == reference.top(),
        }
    }

    /// Writes the distribution in two bytes per token behind two numbers: the highest logit h and
    /// the depth d of the lowest below it. A logit l becomes `65535·√((h − l)/d)`, so that steps are
    /// finest where the probability is.
    ///
    /// Gives back the mean rounding error of a logarithm, weighted with the distribution.
    pub(crate) fn pack(&self, bytes: &mut Vec<u8>) -> f64 {
        let highest = self
            .logits
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        let lowest = self.logits.iter().copied().fold(f32::INFINITY, f32::min);
        let depth = highest - lowest;
        bytes.extend(highest.to_le_bytes());
        bytes.extend(depth.to_le_bytes());
        let mut error = 0.0;
        for logit in &self.logits {
            let share = f64::from(highest - logit) / f64::from(depth.max(f32::MIN_POSITIVE));
            let code = (share.sqrt() * f64::from(u16::MAX)).round() as u16;
            bytes.extend(code.to_le_bytes());
            let exact = f64::from(*logit);
            let rounded = f64::from(unpacked(code, highest, depth));
            error += (exact - self.normalizer).exp() * (rounded - exact).abs();
        }
        error
    }

    /// Reads what [`LogProbabilities::pack`] wrote for a vocabulary, and makes it a distribution again.
    pub(crate) fn unpack(bytes: &[u8]) -> Option<Self> {
        let (highest, rest) = bytes.split_first_chunk::<4>()?;
        let (depth, codes) = rest.split_first_chunk::<4>()?;
        let (highest, depth) = (f32::from_le_bytes(*highest), f32::from_le_bytes(*depth));
        let logs: Vec<f32> = codes
            .chunks_exact(2)
            .map(|code| unpacked(u16::from_le_bytes([code[0], code[1]]), highest, depth))
            .collect();
        Self::of_logits(&logs)
    }

    /// Bytes of a packed distribution.
    pub(crate) const fn packed_length(vocabulary: usize) -> usize {
        8 + 2 * vocabulary
    }
}

fn unpacked(code: u16, highest: f32, depth: f32) -> f32 {
    let root = f64::from(code) / f64::from(u16::MAX);
    (f64::from(highest) - f64::from(depth) * root * root) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits whose softmax is in proportion to `weights`.
    fn distribution(weights: &[f64]) -> LogProbabilities {
        let logits: Vec<f32> = weights.iter().map(|w| w.ln() as f32 + 3.0).collect();
        LogProbabilities::of_logits(&logits).unwrap()
    }

    #[test]
    fn two_coins_diverge_by_the_textbook_amount() {
        // KL((1/2, 1/2) ‖ (3/4, 1/4)) = ½ ln(2/3) + ½ ln 2 = ½ ln(4/3).
        let (fair, biased) = (distribution(&[1.0, 1.0]), distribution(&[3.0, 1.0]));
        let seen = biased.against(&fair, 1);
        assert!((seen.nats - 0.5 * (4.0_f64 / 3.0).ln()).abs() < 1e-7);
        assert!((seen.surprise - 4.0_f64.ln()).abs() < 1e-6);
        assert!((seen.surprise_reference - 2.0_f64.ln()).abs() < 1e-6);
        assert!(seen.same_top, "the first of equals");
        assert!(!distribution(&[1.0, 3.0]).against(&fair, 1).same_top);
    }

    #[test]
    fn a_distribution_does_not_diverge_from_itself() {
        let one = distribution(&[0.1, 0.7, 1e-9, 0.2]);
        let seen = one.against(&one, 0);
        assert!(seen.nats.abs() < f64::EPSILON && seen.same_top);
    }

    #[test]
    fn what_is_no_number_is_no_distribution() {
        for logits in [
            &[f32::NAN, 1.0][..],
            &[f32::INFINITY, 1.0],
            &[1.0, f32::NEG_INFINITY],
            &[],
        ] {
            assert_eq!(LogProbabilities::of_logits(logits), None);
        }
    }

    #[test]
    fn the_packed_form_keeps_a_divergence_within_its_stated_error() {
        let weights = |sharpness: f64| -> Vec<f64> {
            (0..500_u32)
                .map(|n| (f64::from(n * 7919 % 500) * sharpness).exp())
                .collect()
        };
        for sharpness in [0.001, 0.01, 0.1] {
            let reference = distribution(&weights(sharpness));
            let judged = distribution(&weights(sharpness * 1.1));
            let mut bytes = Vec::new();
            let error = reference.pack(&mut bytes);
            assert_eq!(bytes.len(), LogProbabilities::packed_length(500));
            let unpacked = LogProbabilities::unpack(&bytes).unwrap();
            let (exact, rounded) = (
                judged.against(&reference, 3).nats,
                judged.against(&unpacked, 3).nats,
            );
            assert!(error < 2e-4, "{error}");
            assert!(
                (exact - rounded).abs() <= 2.0 * error,
                "{exact} {rounded} {error}"
            );
        }
    }

    #[test]
    fn equal_logits_pack_without_error() {
        let flat = distribution(&[1.0; 8]);
        let mut bytes = Vec::new();
        assert!(flat.pack(&mut bytes) < 1e-12);
        let back = LogProbabilities::unpack(&bytes).unwrap();
        assert!(flat.against(&back, 0).nats < 1e-12);
    }
}
