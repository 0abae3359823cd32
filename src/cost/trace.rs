//! A trace of arrivals: volume, hourly profile and burstiness of real traffic.

/// What a list of arrival times says.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Requests per day of 24 hours.
    pub requests_per_day: f64,
    /// One weight per hour of the week, Monday 00:00 UTC first; 24 weights below a week.
    pub hourly: Vec<f64>,
    /// Variation of the times between arrivals.
    pub interarrival_cv: f64,
}

/// A trace that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// No pair of arrivals.
    #[error("the trace has {0} arrivals; it needs at least 2")]
    TooFew(usize),
    /// All arrivals at once.
    #[error("the trace covers less than an hour; it needs at least one")]
    TooShort,
}

impl Trace {
    /// Reads arrivals in seconds since 1970-01-01 00:00 UTC, in any order.
    ///
    /// A trace of at least a week gives 168 weights, a shorter one 24; each weight is requests per
    /// observed hour, so that a partial week does not tilt the profile.
    pub fn from_arrivals(mut seconds: Vec<f64>) -> Result<Self, TraceError> {
        seconds.sort_by(f64::total_cmp);
        let ([first, .., last], count) = (&seconds[..], seconds.len()) else {
            return Err(TraceError::TooFew(seconds.len()));
        };
        let (first, last) = (*first, *last);
        if last - first < 3_600.0 {
            return Err(TraceError::TooShort);
        }
        let start = (first / 3_600.0).floor();
        let hours = (last / 3_600.0).floor() - start + 1.0;
        let slots: usize = if hours >= 168.0 { 168 } else { 24 };
        let mut observed = vec![0.0; slots];
        let mut arrived = vec![0.0; slots];
        for hour in 0..hours as u64 {
            observed[slot(start + hour as f64, slots)] += 1.0;
        }
        for second in &seconds {
            arrived[slot((second / 3_600.0).floor(), slots)] += 1.0;
        }
        let hourly = arrived
            .iter()
            .zip(&observed)
            .map(|(requests, hours)| if *hours > 0.0 { requests / hours } else { 0.0 })
            .collect();
        Ok(Self {
            requests_per_day: count as f64 / hours * 24.0,
            hourly,
            interarrival_cv: variation(&seconds),
        })
    }
}

/// The hour of the day or of the week; 1970-01-01 was a Thursday.
fn slot(hour: f64, slots: usize) -> usize {
    let since_monday = hour + if slots == 168 { 72.0 } else { 0.0 };
    since_monday.rem_euclid(slots as f64) as usize
}

fn variation(sorted: &[f64]) -> f64 {
    let gaps: Vec<f64> = sorted.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    if mean > 0.0 {
        variance.sqrt() / mean
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_trace_is_flat_and_not_bursty() {
        let trace = Trace::from_arrivals((0..24 * 60).map(|m| f64::from(m) * 60.0).collect());
        let trace = trace.unwrap();
        assert!((trace.requests_per_day - 1_440.0).abs() < 1e-9);
        assert_eq!(trace.hourly, vec![60.0; 24]);
        assert!(trace.interarrival_cv < 1e-9);
    }

    #[test]
    fn a_week_starts_on_monday() {
        // 1970-01-05 00:00 UTC was a Monday.
        let monday = 4.0 * 86_400.0;
        let mut arrivals: Vec<f64> = (0..168).map(|h| monday + f64::from(h) * 3_600.0).collect();
        arrivals.extend([monday + 1.0, monday + 2.0]);
        let trace = Trace::from_arrivals(arrivals).unwrap();
        assert_eq!(trace.hourly.len(), 168);
        assert_eq!((trace.hourly[0], trace.hourly[1]), (3.0, 1.0));
    }

    #[test]
    fn a_trace_without_length_is_refused() {
        assert_eq!(Trace::from_arrivals(vec![1.0]), Err(TraceError::TooFew(1)));
        assert_eq!(
            Trace::from_arrivals(vec![1.0, 2.0]),
            Err(TraceError::TooShort)
        );
    }
}
