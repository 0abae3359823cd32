//! Work on single rows between the matrix products: norms, gating, rotation, choosing a token.

use super::simd::{Kernel, Simd, vectorized};
use super::{SharedMut, parallel};

/// Numbers below which waking other threads costs more than it saves.
const WORTH_SHARING: usize = 16_384;

/// RMSNorm of each row of `x`: `x / √(mean(x²) + epsilon) · weight`.
pub(in crate::engine) fn norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let mut output = vec![0.0; x.len()];
    each_row(&mut output, weight.len(), |row, output| {
        let start = row * weight.len();
        let x = &x[start..start + weight.len()];
        vectorized(Norm {
            x,
            weight,
            epsilon,
            output,
        });
    });
    output
}

/// `x + delta` and its RMSNorm, row by row.
pub(in crate::engine) fn add_norm(
    x: &[f32],
    delta: &[f32],
    weight: &[f32],
    epsilon: f32,
) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let (mut sum, mut output) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let shared = SharedMut::new(&mut sum);
    each_row(&mut output, width, |row, output| {
        let range = row * width..(row + 1) * width;
        // SAFETY: each row is visited once.
        let sum = unsafe { shared.slice(range.clone()) };
        for ((sum, x), delta) in sum.iter_mut().zip(&x[range.clone()]).zip(&delta[range]) {
            *sum = x + delta;
        }
        vectorized(Norm {
            x: sum,
            weight,
            epsilon,
            output,
        });
    });
    (sum, output)
}

/// `silu(gate) · up` for rows that hold `width` gates, then `width` ups.
pub(in crate::engine) fn gate(gate_up: &[f32], width: usize) -> Vec<f32> {
    let mut output = vec![0.0; gate_up.len() / 2];
    each_row(&mut output, width, |row, output| {
        let (gate, up) = gate_up[2 * row * width..2 * (row + 1) * width].split_at(width);
        vectorized(Gate {
            opening: gate,
            up,
            output,
        });
    });
    output
}

/// The index of the largest number of each row, the first among equals; `None` when a row holds a
/// number that is not finite.
pub(in crate::engine) fn choose(logits: &[f32], width: usize) -> Option<Vec<u32>> {
    logits
        .chunks_exact(width)
        .map(|row| vectorized(Choose(row)))
        .collect()
}

/// Rotates one head by the angles of its position: `width / 2` pairs `(i, i + width / 2)`.
pub(in crate::engine) fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (low, high) = head.split_at_mut(cos.len());
    for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        (*low, *high) = (*low * cos - *high * sin, *high * cos + *low * sin);
    }
}

/// RMSNorm of one head in place.
pub(in crate::engine) fn norm_head(head: &mut [f32], weight: &[f32], epsilon: f32) {
    let mean = head.iter().map(|value| value * value).sum::<f32>() / head.len() as f32;
    let scale = 1.0 / (mean + epsilon).sqrt();
    for (value, weight) in head.iter_mut().zip(weight) {
        *value *= scale * weight;
    }
}

/// Calls `work` with every row of `output`, on all threads when that pays.
pub(in crate::engine) fn each_row<T: Send + Sync>(
    output: &mut [T],
    width: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    if output.len() < WORTH_SHARING {
        for (row, output) in output.chunks_exact_mut(width).enumerate() {
            work(row, output);
        }
        return;
    }
    let rows = output.len() / width;
    let shared = SharedMut::new(output);
    parallel(rows, |range| {
        for row in range {
            // SAFETY: each row is visited once.
            work(row, unsafe { shared.slice(row * width..(row + 1) * width) });
        }
    });
}

struct Norm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    output: &'a mut [f32],
}

impl Kernel for Norm<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self {
            x,
            weight,
            epsilon,
            output,
        } = self;
        let width = x.len();
        assert!(
            weight.len() == width && output.len() == width,
            "rows of one width"
        );
        let whole = width / S::LANES * S::LANES;
        // SAFETY: the CPU has `S`; `at + LANES <= width` for all three slices.
        unsafe {
            let mut squares = S::splat(0.0);
            for at in (0..whole).step_by(S::LANES) {
                let value = S::load(x.as_ptr().add(at));
                squares = S::multiply_add(value, value, squares);
            }
            let mut sum = S::sum(squares);
            for value in &x[whole..] {
                sum += value * value;
            }
            let scale = 1.0 / (sum / width as f32 + epsilon).sqrt();
            let scales = S::splat(scale);
            for at in (0..whole).step_by(S::LANES) {
                let value = S::multiply(S::load(x.as_ptr().add(at)), scales);
                let value = S::multiply(value, S::load(weight.as_ptr().add(at)));
                S::store(output.as_mut_ptr().add(at), value);
            }
            for at in whole..width {
                output[at] = x[at] * scale * weight[at];
            }
        }
    }
}

struct Gate<'a> {
    opening: &'a [f32],
    up: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self {
            opening: gate,
            up,
            output,
        } = self;
        let width = gate.len();
        assert!(
            up.len() == width && output.len() == width,
            "rows of one width"
        );
        let whole = width / S::LANES * S::LANES;
        // SAFETY: the CPU has `S`; `at + LANES <= width` for all three slices.
        unsafe {
            for at in (0..whole).step_by(S::LANES) {
                let gate = S::load(gate.as_ptr().add(at));
                let negative = S::multiply(gate, S::splat(-1.0));
                let silu = S::divide(gate, S::add(S::splat(1.0), S::exp(negative)));
                let value = S::multiply(silu, S::load(up.as_ptr().add(at)));
                S::store(output.as_mut_ptr().add(at), value);
            }
        }
        for at in whole..width {
            output[at] = gate[at] / (1.0 + (-gate[at]).exp()) * up[at];
        }
    }
}

struct Choose<'a>(&'a [f32]);

impl Kernel for Choose<'_> {
    type Output = Option<u32>;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Option<u32> {
        let row = self.0;
        let whole = row.len() / S::LANES * S::LANES;
        // SAFETY: the CPU has `S`; `at + LANES <= row.len()`.
        let (mut peak, mut nothing) = unsafe {
            let (mut peaks, mut nothing) = (S::splat(f32::NEG_INFINITY), S::splat(0.0));
            for at in (0..whole).step_by(S::LANES) {
                let value = S::load(row.as_ptr().add(at));
                peaks = S::maximum(peaks, value);
                // Zero times anything finite is zero; times an infinity or NaN it is NaN.
                nothing = S::multiply_add(value, S::splat(0.0), nothing);
            }
            (S::largest(peaks), S::sum(nothing))
        };
        for &value in &row[whole..] {
            peak = peak.max(value);
            nothing += value * 0.0;
        }
        if nothing.is_nan() {
            return None;
        }
        let index = row.iter().position(|value| *value >= peak);
        index.and_then(|index| u32::try_from(index).ok())
    }
}
