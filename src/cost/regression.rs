//! What one more token costs in time, fitted over a study of several lengths:
//! `seconds = α·input + β·output + γ`, none of them negative.
//!
//! The share of time ([`super::allocation::Method::TimeShare`]) needs rates of each phase alone; the
//! fit needs nothing but whole generations of different lengths, and tells how well it explains them.

use serde::Serialize;

/// Unknowns of the fit.
const UNKNOWNS: usize = 3;
/// Pivots below this, of columns scaled to 1, mean that the lengths do not tell the unknowns apart.
const SINGULAR: f64 = 1e-9;

/// One generation as seen by one sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    /// Input tokens.
    pub input: f64,
    /// Output tokens.
    pub output: f64,
    /// Replica seconds: the time of the batch over its sequences.
    pub seconds: f64,
}

/// Replica seconds by token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Regression {
    /// One more input token.
    pub seconds_per_input_token: f64,
    /// One more output token.
    pub seconds_per_output_token: f64,
    /// A call besides its tokens.
    pub seconds_per_call: f64,
    /// Pairs of lengths behind the fit.
    pub pairs: usize,
    /// The largest relative error of a measured time.
    pub largest_error: f64,
}

impl Regression {
    /// The fit with the least relative squares; `None` below three pairs of lengths, or where the
    /// lengths do not tell input from output.
    ///
    /// ```
    /// use mtok::cost::regression::{Regression, Timed};
    /// // 1 ms per input token, 10 ms per output token, 50 ms per call.
    /// let timed = |input: f64, output: f64| Timed {
    ///     input,
    ///     output,
    ///     seconds: 0.001 * input + 0.01 * output + 0.05,
    /// };
    /// let fit = Regression::fit(&[timed(100.0, 10.0), timed(400.0, 10.0), timed(100.0, 50.0)]).unwrap();
    /// assert!((fit.seconds_per_output_token - 0.01).abs() < 1e-9);
    /// assert!((fit.seconds_per_call - 0.05).abs() < 1e-9);
    /// ```
    pub fn fit(points: &[Timed]) -> Option<Self> {
        if points.len() < UNKNOWNS {
            return None;
        }
        let rows: Vec<[f64; UNKNOWNS]> = points
            .iter()
            .map(|point| [point.input, point.output, 1.0].map(|x| x / point.seconds))
            .collect();
        solve(&rows, [true; UNKNOWNS])?;
        // Three unknowns have seven ways to be zero or not: the best of those without a negative one.
        let subsets = (1..1_usize << UNKNOWNS)
            .map(|mask| std::array::from_fn(|unknown| ((mask >> unknown) & 1) == 1));
        let best = subsets
            .filter_map(|kept: [bool; UNKNOWNS]| solve(&rows, kept))
            .filter(|found| found.iter().all(|unknown| *unknown >= 0.0))
            .min_by(|a, b| squares(&rows, a).total_cmp(&squares(&rows, b)))?;
        let errors = rows.iter().map(|row| (dot(row, &best) - 1.0).abs());
        Some(Self {
            seconds_per_input_token: best[0],
            seconds_per_output_token: best[1],
            seconds_per_call: best[2],
            pairs: points.len(),
            largest_error: errors.fold(0.0, f64::max),
        })
    }
}

fn dot(row: &[f64; UNKNOWNS], unknowns: &[f64; UNKNOWNS]) -> f64 {
    row.iter().zip(unknowns).map(|(a, b)| a * b).sum()
}

fn squares(rows: &[[f64; UNKNOWNS]], unknowns: &[f64; UNKNOWNS]) -> f64 {
    rows.iter()
        .map(|row| (dot(row, unknowns) - 1.0).powi(2))
        .sum()
}

/// The least squares of `row · unknowns = 1` with the unknowns that are kept, by the normal equations.
fn solve(rows: &[[f64; UNKNOWNS]], kept: [bool; UNKNOWNS]) -> Option<[f64; UNKNOWNS]> {
    let scale: [f64; UNKNOWNS] = std::array::from_fn(|column| {
        let squares: f64 = rows.iter().map(|row| row[column] * row[column]).sum();
        if kept[column] { squares.sqrt() } else { 0.0 }
    });
    // An unknown that is left out has the equation `x = 0`.
    let mut equations = [[0.0; UNKNOWNS + 1]; UNKNOWNS];
    for (i, equation) in equations.iter_mut().enumerate() {
        if !kept[i] {
            equation[i] = 1.0;
            continue;
        }
        for row in rows {
            for j in (0..UNKNOWNS).filter(|j| kept[*j]) {
                equation[j] += row[i] / scale[i] * row[j] / scale[j];
            }
            equation[UNKNOWNS] += row[i] / scale[i];
        }
    }
    eliminate(&mut equations)?;
    Some(std::array::from_fn(|i| {
        if kept[i] {
            equations[i][UNKNOWNS] / scale[i]
        } else {
            0.0
        }
    }))
}

/// Gauss and Jordan with the largest pivots; `None` where the equations do not tell the unknowns apart.
fn eliminate(equations: &mut [[f64; UNKNOWNS + 1]; UNKNOWNS]) -> Option<()> {
    for column in 0..UNKNOWNS {
        let largest = (column..UNKNOWNS).max_by(|a, b| {
            let size = |row: &usize| equations[*row][column].abs();
            size(a).total_cmp(&size(b))
        })?;
        equations.swap(column, largest);
        let pivot = equations[column][column];
        if pivot.is_nan() || pivot.abs() < SINGULAR {
            return None;
        }
        let solved = equations[column].map(|x| x / pivot);
        for (row, equation) in equations.iter_mut().enumerate() {
            if row == column {
                *equation = solved;
            } else {
                let factor = equation[column];
                for (x, y) in equation.iter_mut().zip(solved) {
                    *x -= factor * y;
                }
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTHS: [(f64, f64); 5] = [
        (128.0, 32.0),
        (512.0, 32.0),
        (128.0, 256.0),
        (512.0, 256.0),
        (2_048.0, 64.0),
    ];

    fn timed(unknowns: [f64; 3]) -> Vec<Timed> {
        let seconds = |(input, output): (f64, f64)| Timed {
            input,
            output,
            seconds: unknowns[0] * input + unknowns[1] * output + unknowns[2],
        };
        LENGTHS.into_iter().map(seconds).collect()
    }

    #[test]
    fn two_pairs_or_pairs_of_one_ratio_are_not_enough() {
        let all = timed([1e-4, 1e-2, 1e-3]);
        assert_eq!(Regression::fit(&all[..2]), None);
        let alike: Vec<Timed> = [1.0, 2.0, 4.0]
            .map(|times| Timed {
                input: 128.0 * times,
                output: 32.0 * times,
                seconds: 0.1 * times,
            })
            .to_vec();
        assert_eq!(Regression::fit(&alike), None);
    }

    #[test]
    fn nothing_that_is_fitted_is_negative() {
        // Long inputs are faster here than the fit through all of them would have it.
        let mut points = timed([1e-4, 1e-2, 0.0]);
        points[0].seconds *= 0.8;
        let fit = Regression::fit(&points).unwrap();
        assert!(fit.seconds_per_call >= 0.0 && fit.seconds_per_input_token >= 0.0);
        assert!(fit.largest_error > 0.01, "{fit:?}");
    }

    proptest! {
        #[test]
        fn exact_times_are_found_again(
            input in 1e-6..1e-2f64, output in 1e-5..1e-1f64, call in 1e-4..1.0f64
        ) {
            let fit = Regression::fit(&timed([input, output, call])).unwrap();
            prop_assert!((fit.seconds_per_input_token / input - 1.0).abs() < 1e-6, "{fit:?}");
            prop_assert!((fit.seconds_per_output_token / output - 1.0).abs() < 1e-6);
            prop_assert!((fit.seconds_per_call / call - 1.0).abs() < 1e-6);
            prop_assert!(fit.largest_error < 1e-8 && fit.pairs == 5);
        }
    }
}
