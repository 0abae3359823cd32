//! The break-even in closed form, exact where all stairs are alike: what the scan is held against.

/// Quotients and gains this close to the next whole number, or to nothing, are there.
const SLACK: f64 = 1e-9;

/// What the closed form says where all stairs are alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClosedForm {
    /// The first crossing.
    pub(crate) first_requests: f64,
    /// The permanent crossing.
    pub(crate) permanent_requests: f64,
    /// Crossings in all.
    pub(crate) crossings: f64,
}

/// The terms of the closed form, all per month.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// One replica (c).
    pub(crate) replica_usd: f64,
    /// Fixed self-hosted cost (F).
    pub(crate) fixed_usd: f64,
    /// User requests of one replica after peak and target load (K).
    pub(crate) requests_per_replica: f64,
    /// Marginal API dollars per request (a).
    pub(crate) usd_per_request: f64,
    /// Stand-by replicas (r).
    pub(crate) redundant: f64,
}

/// `n₁ = max(1, ⌈(F + r·c)/(a·K − c)⌉)` at `C/a`, permanent from `N = max(1, ⌈(F + (r + 1)·c)/(a·K − c)⌉)`;
/// `None` unless `a·K > c`.
pub(crate) fn closed_form(terms: Terms) -> Option<ClosedForm> {
    let Terms {
        replica_usd: c,
        fixed_usd,
        requests_per_replica,
        usd_per_request: a,
        redundant,
    } = terms;
    let gain = a * requests_per_replica - c;
    if gain <= SLACK * c {
        return None;
    }
    let cost = |n: f64| (n + redundant) * c + fixed_usd;
    let first = ceil((fixed_usd + redundant * c) / gain).max(1.0);
    let permanent = ceil((fixed_usd + (redundant + 1.0) * c) / gain).max(1.0);
    Some(ClosedForm {
        first_requests: cost(first) / a,
        permanent_requests: cost(permanent) / a,
        crossings: 2.0 * (permanent - first) + 1.0,
    })
}

fn ceil(value: f64) -> f64 {
    (value - SLACK * value.abs().max(1.0)).ceil()
}

#[test]
fn the_worked_staircase_crosses_seventeen_times() {
    let terms = Terms {
        replica_usd: 2_880.0,
        fixed_usd: 0.0,
        requests_per_replica: 4e6,
        usd_per_request: 0.0008,
        redundant: 0.0,
    };
    let found = closed_form(terms).unwrap();
    assert!((found.permanent_requests - 32.4e6).abs() < 1.0);
    assert_eq!(found.crossings, 17.0);
}
