//! What a few runs say of a throughput: both of its means, and the exact bootstrap.
//!
//! Whole runs are what is independent, so they are what is resampled, never the requests within.
//! Below five runs the bootstrap is far too narrow: Student's t ([`crate::metrics::stats::Sample`])
//! is what stands in answers.

/// Most runs whose resamples are all written out: 6⁶ = 46,656.
const MOST_RUNS: usize = 6;

/// Rates of runs, all above 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Runs(Vec<f64>);

/// What counts alike in a mean of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alike {
    /// Every second: the mean of the rates. For runs of equal length.
    Seconds,
    /// Every token: the harmonic mean. The mean of the prices per token follows from it.
    Tokens,
}

/// Every mean that resampling can give, ascending.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    means: Vec<f64>,
}

impl Runs {
    /// Rates that can be averaged and inverted; `None` for none at all, or one that is not above 0.
    pub fn new(rates: Vec<f64>) -> Option<Self> {
        let usable = |rate: &f64| rate.is_finite() && *rate > 0.0;
        (!rates.is_empty() && rates.iter().all(usable)).then_some(Self(rates))
    }

    /// The mean rate.
    pub fn mean(&self, alike: Alike) -> f64 {
        let n = self.0.len() as f64;
        match alike {
            Alike::Seconds => self.0.iter().sum::<f64>() / n,
            Alike::Tokens => n / self.0.iter().map(|rate| 1.0 / rate).sum::<f64>(),
        }
    }

    /// The means of all resamples with replacement; `None` for more than 6 runs, of which there are
    /// too many.
    pub fn bootstrap(&self) -> Option<Bootstrap> {
        let n = self.0.len();
        if n > MOST_RUNS {
            return None;
        }
        let resample = |mut number: usize| {
            let mut sum = 0.0;
            for _ in 0..n {
                sum += self.0[number % n];
                number /= n;
            }
            sum / n as f64
        };
        let mut means: Vec<f64> = (0..n.pow(n as u32)).map(resample).collect();
        means.sort_by(f64::total_cmp);
        Some(Bootstrap { means })
    }
}

impl Bootstrap {
    /// All means, ascending.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// Their mean.
    pub fn mean(&self) -> f64 {
        self.means.iter().sum::<f64>() / self.means.len() as f64
    }

    /// Their standard deviation, which is the standard error of the mean of the runs.
    pub fn standard_error(&self) -> f64 {
        let (n, mean) = (self.means.len() as f64, self.mean());
        let squares: f64 = self.means.iter().map(|m| (m - mean).powi(2)).sum();
        (squares / n).sqrt()
    }

    /// The mean below which a share `q` of them lies.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(&self.means, q)
    }
}

/// The quantile of type 7 of an ascending list that is not empty: linear between order statistics.
pub(super) fn quantile(ascending: &[f64], q: f64) -> f64 {
    let place = (ascending.len() - 1) as f64 * q;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    let (low, high) = (ascending[below], ascending[above]);
    if below == above {
        low
    } else {
        low + (high - low) * place.fract()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_averaged_is_no_run() {
        assert_eq!(Runs::new(Vec::new()), None);
        assert_eq!(Runs::new(vec![1.0, 0.0]), None);
        assert_eq!(Runs::new(vec![f64::NAN]), None);
    }

    #[test]
    fn two_runs_have_four_resamples() {
        let runs = Runs::new(vec![1.0, 3.0]).unwrap();
        assert_eq!(runs.bootstrap().unwrap().means(), [1.0, 2.0, 2.0, 3.0]);
        assert!((runs.mean(Alike::Seconds) - 2.0).abs() < 1e-12);
        assert!((runs.mean(Alike::Tokens) - 1.5).abs() < 1e-12);
        assert_eq!(Runs::new(vec![1.0; 7]).unwrap().bootstrap(), None);
    }
}
