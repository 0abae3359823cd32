//! Rotary position embedding: the table of angles, always in single precision.

use std::f64::consts::TAU;

use crate::study::model::{RopeScaling, Shape};

/// Cosines and sines of every position, `[positions, head_dim / 2]` each.
#[derive(Debug, Clone)]
pub(super) struct Rope {
    /// Cosines.
    pub(super) cos: Vec<f32>,
    /// Sines.
    pub(super) sin: Vec<f32>,
    /// Angles per position: half the width of a head.
    pub(super) pairs: usize,
}

impl Rope {
    /// The table for `positions` tokens.
    pub(super) fn new(shape: &Shape, positions: usize) -> Self {
        let frequencies = frequencies(shape);
        let pairs = frequencies.len();
        let angles = (0..positions)
            .flat_map(|position| frequencies.iter().map(move |f| position as f64 * f));
        let (cos, sin) = angles
            .map(|angle| (angle.cos() as f32, angle.sin() as f32))
            .unzip();
        Self { cos, sin, pairs }
    }

    /// Cosines and sines of one position.
    pub(super) fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.pairs..(position + 1) * self.pairs;
        (&self.cos[range.clone()], &self.sin[range])
    }
}

/// What each frequency is divided by, as GGUF files carry it.
pub(in crate::engine) fn divisors(shape: &Shape) -> Vec<f32> {
    let plain = Shape {
        rope_scaling: None,
        ..shape.clone()
    };
    let scaled = frequencies(shape);
    let pairs = frequencies(&plain).into_iter().zip(scaled);
    pairs
        .map(|(plain, scaled)| (plain / scaled) as f32)
        .collect()
}

/// Radians per position of each pair.
fn frequencies(shape: &Shape) -> Vec<f64> {
    let width = f64::from(shape.head_dim);
    let plain =
        (0..shape.head_dim / 2).map(|pair| shape.rope_theta.powf(-f64::from(2 * pair) / width));
    match &shape.rope_scaling {
        None => plain.collect(),
        Some(RopeScaling::Linear { factor }) => plain.map(|f| f / factor).collect(),
        Some(RopeScaling::PerFrequency { divisors }) => plain
            .zip(divisors)
            .map(|(f, divisor)| f / f64::from(*divisor))
            .collect(),
        Some(RopeScaling::Llama3 {
            factor,
            low_frequency_factor: low,
            high_frequency_factor: high,
            original_context,
        }) => plain
            .map(|f| {
                // Turns that the pair makes within the context of the first training.
                let turns = f64::from(*original_context) * f / TAU;
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                kept * f + (1.0 - kept) * f / factor
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::decoder::random::shape;
    use crate::study::model::Family;

    #[track_caller]
    fn stretched(scaling: RopeScaling, pair: usize, expected: f64) {
        let plain = frequencies(&shape(Family::Llama));
        let scaled = frequencies(&Shape {
            rope_scaling: Some(scaling),
            ..shape(Family::Llama)
        });
        assert!(
            (plain[pair] / scaled[pair] - expected).abs() < 1e-9,
            "{}",
            plain[pair] / scaled[pair]
        );
    }

    #[test]
    fn linear_scaling_divides_every_frequency() {
        stretched(RopeScaling::Linear { factor: 4.0 }, 0, 4.0);
        stretched(RopeScaling::Linear { factor: 4.0 }, 7, 4.0);
    }

    #[test]
    fn llama3_scaling_keeps_fast_pairs_and_divides_slow_ones() {
        let scaling = || RopeScaling::Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_context: 64,
        };
        // Pair 0 turns 64 / 2π = 10.2 times, the last one far less than once.
        stretched(scaling(), 0, 1.0);
        stretched(scaling(), 15, 8.0);
    }

    #[test]
    fn a_table_of_divisors_is_taken_pair_by_pair() {
        let divisors = (1..=16u8).map(f32::from).collect();
        stretched(RopeScaling::PerFrequency { divisors }, 4, 5.0);
    }
}
