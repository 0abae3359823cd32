//! Reserved replicas: how much use makes them pay, and how many of them are cheapest.

use serde::Serialize;

use super::case::Evaluation;

/// Rows of the table.
const MOST_BASES: f64 = 100.0;

/// `view.reserve`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReserveAnswer {
    /// Share of the hours in use above which a reserved replica is cheaper; null where the ordinary
    /// rate is nothing.
    pub pays_above_share_of_hours: Option<f64>,
    /// The cheapest number of reserved replicas, the fewest of several.
    pub best_replicas: f64,
    /// Dollars for cards by the number of reserved replicas.
    pub bases: Vec<Base>,
}

/// One number of reserved replicas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Base {
    /// How many are reserved.
    pub replicas: f64,
    /// Dollars for cards.
    pub gpu_usd_per_month: f64,
}

/// The share of the hours in use above which a card that is paid for in all hours is cheaper than
/// one that is paid for in the hours of use: reserved rate over ordinary rate.
pub fn pays_above(reserved_rate: f64, ordinary_rate: f64) -> Option<f64> {
    (ordinary_rate > 0.0).then(|| reserved_rate / ordinary_rate)
}

/// The table of a fleet whose reserved rate is stated.
pub(super) fn reserve(evaluation: &Evaluation<'_>) -> Option<ReserveAnswer> {
    let fleet = evaluation.fleet.as_ref()?;
    let rate = fleet.case.reserved_usd_per_gpu_hour;
    if rate <= 0.0 {
        return None;
    }
    let replicas = fleet.replicas(evaluation.requests);
    let busiest = replicas.iter().copied().fold(0.0, f64::max).min(MOST_BASES);
    let bases: Vec<Base> = (0..=busiest as u32)
        .map(|base| Base {
            replicas: f64::from(base),
            gpu_usd_per_month: fleet.cards_usd_with(&replicas, f64::from(base)),
        })
        .collect();
    let best = bases
        .iter()
        .min_by(|a, b| a.gpu_usd_per_month.total_cmp(&b.gpu_usd_per_month))?;
    Some(ReserveAnswer {
        pays_above_share_of_hours: pays_above(rate, fleet.usd_per_gpu_hour()),
        best_replicas: best.replicas,
        bases,
    })
}
