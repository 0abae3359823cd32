//! Inputs that move together: a Gaussian copula with given rank correlations.

use super::distribution::normal_quantile;
use super::length::normal_below;

/// Correlates independent uniform numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Copula {
    /// Lower triangle of the Cholesky factor, row by row; empty where nothing is correlated.
    rows: Vec<Vec<f64>>,
}

/// Correlations that no set of numbers can have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these rank correlations contradict each other")]
pub struct Contradiction;

/// The rank correlation of two inputs, by their positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// One.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// Spearman's correlation.
    pub rank_correlation: f64,
}

impl Copula {
    /// Nothing moves together.
    pub fn independent() -> Self {
        Self { rows: Vec::new() }
    }

    /// The copula of `inputs` numbers; ranks correlate by ρ where the normals behind them correlate
    /// by `2·sin(πρ/6)`.
    pub fn new(inputs: usize, pairs: &[Pair]) -> Result<Self, Contradiction> {
        if pairs.is_empty() {
            return Ok(Self::independent());
        }
        let mut matrix = vec![vec![0.0; inputs]; inputs];
        for (index, row) in matrix.iter_mut().enumerate() {
            row[index] = 1.0;
        }
        for pair in pairs {
            let normal = 2.0 * (std::f64::consts::PI * pair.rank_correlation / 6.0).sin();
            matrix[pair.first][pair.second] = normal;
            matrix[pair.second][pair.first] = normal;
        }
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(inputs);
        for (i, wanted) in matrix.iter().enumerate() {
            let mut row = vec![0.0; i + 1];
            for j in 0..=i {
                let known: f64 = (0..j)
                    .map(|k| row[k] * if j == i { row[k] } else { rows[j][k] })
                    .sum();
                let left = wanted[j] - known;
                if j == i {
                    // Perfect correlation leaves a pivot of 0, give or take rounding.
                    if left < -1e-9 {
                        return Err(Contradiction);
                    }
                    row[j] = if left > 0.0 { left.sqrt() } else { 0.0 };
                } else if rows[j][j] > 1e-9 {
                    row[j] = left / rows[j][j];
                } else if left.abs() > 1e-9 {
                    return Err(Contradiction);
                }
            }
            rows.push(row);
        }
        Ok(Self { rows })
    }

    /// Turns independent uniform numbers into correlated ones, in place.
    pub(super) fn correlate(&self, uniforms: &mut [f64]) {
        if self.rows.is_empty() {
            return;
        }
        let normals: Vec<f64> = uniforms.iter().map(|u| normal_quantile(*u)).collect();
        for (u, row) in uniforms.iter_mut().zip(&self.rows) {
            let z: f64 = row.iter().zip(&normals).map(|(weight, z)| weight * z).sum();
            *u = normal_below(z).clamp(1e-16, 1.0 - 1e-16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(first: usize, second: usize, rank_correlation: f64) -> Pair {
        Pair {
            first,
            second,
            rank_correlation,
        }
    }

    #[test]
    fn equal_ranks_make_equal_numbers() {
        let mut same = vec![0.3, 0.9];
        Copula::new(2, &[pair(0, 1, 1.0)])
            .unwrap()
            .correlate(&mut same);
        assert!(
            (same[0] - 0.3).abs() < 1e-7 && (same[1] - 0.3).abs() < 1e-7,
            "{same:?}"
        );
        let mut opposite = vec![0.3, 0.9];
        Copula::new(2, &[pair(0, 1, -1.0)])
            .unwrap()
            .correlate(&mut opposite);
        assert!((opposite[1] - 0.7).abs() < 1e-7, "{opposite:?}");
    }

    #[test]
    fn ranks_correlate_as_asked() {
        let copula = Copula::new(2, &[pair(0, 1, -0.3)]).unwrap();
        // A grid stands in for draws; Spearman's ρ of uniforms is 12·E[UV] − 3.
        let n = 300;
        let mut sum = 0.0;
        for i in 0..n {
            for j in 0..n {
                let mut u = vec![(f64::from(i) + 0.5) / 300.0, (f64::from(j) + 0.5) / 300.0];
                copula.correlate(&mut u);
                sum += u[0] * u[1];
            }
        }
        let rank = 12.0 * sum / f64::from(n * n) - 3.0;
        assert!((rank + 0.3).abs() < 2e-3, "{rank}");
    }

    #[test]
    fn correlations_that_contradict_each_other_are_refused() {
        let pairs = [pair(0, 1, 0.9), pair(1, 2, 0.9), pair(0, 2, -0.9)];
        assert_eq!(Copula::new(3, &pairs), Err(Contradiction));
    }
}
