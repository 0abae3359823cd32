//! The range of an axis and its round divisions.

use super::Scale;

/// Gridlines of an axis, about.
const TICKS: f64 = 5.0;

impl Scale {
    pub(super) fn places(self, value: f64) -> bool {
        match self {
            Self::Linear | Self::Steps(_) => value.is_finite(),
            Self::Logarithmic => value.is_finite() && value > 0.0,
        }
    }

    fn along(self, value: f64) -> f64 {
        match self {
            Self::Linear | Self::Steps(_) => value,
            Self::Logarithmic => value.log10(),
        }
    }
}

/// The range of one axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) scale: Scale,
    low: f64,
    high: f64,
}

impl Range {
    /// The range that takes in all values; zero too on an even scale.
    pub(super) fn around(scale: Scale, values: impl Iterator<Item = f64>) -> Option<Self> {
        let placed: Vec<f64> = values
            .filter(|value| scale.places(*value))
            .map(|value| scale.along(value))
            .collect();
        let low = placed.iter().copied().reduce(f64::min)?;
        let high = placed.iter().copied().reduce(f64::max)?;
        let rounded = |step: f64| {
            let outward = |value: f64| (value.abs() / step - 1e-9).ceil() * step;
            (-outward(low.min(0.0)), outward(high.max(0.0)))
        };
        let (low, high) = match scale {
            Scale::Linear => rounded(step((high.max(0.0) - low.min(0.0)).max(f64::MIN_POSITIVE))),
            Scale::Steps(step) => rounded(step),
            Scale::Logarithmic => (low, high),
        };
        // A single value has no length of its own.
        let (low, high) = if high - low > 1e-12 {
            (low, high)
        } else {
            (low - 0.5, high + 0.5)
        };
        Some(Self { scale, low, high })
    }

    /// With a little room beyond both ends of a logarithmic scale, so that nothing lies on the frame.
    pub(super) fn loosened(self) -> Self {
        let room = match self.scale {
            Scale::Logarithmic => (self.high - self.low) * 0.04,
            Scale::Linear | Scale::Steps(_) => 0.0,
        };
        Self {
            low: self.low - room,
            high: self.high + room,
            ..self
        }
    }

    /// Where a value lies between the ends, 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        ((self.scale.along(value) - self.low) / (self.high - self.low)).clamp(-0.01, 1.01)
    }

    pub(super) fn ticks(&self) -> Vec<f64> {
        let multiples = |step: f64| {
            let first = (self.low / step - 1e-9).ceil() as i64;
            let last = (self.high / step + 1e-9).floor() as i64;
            (first..=last).map(|n| n as f64 * step).collect()
        };
        match self.scale {
            Scale::Linear => multiples(step(self.high - self.low)),
            Scale::Steps(step) => multiples(step),
            Scale::Logarithmic => self.decades(),
        }
    }

    /// Powers of ten, with 2 and 5 times them where there are few.
    fn decades(&self) -> Vec<f64> {
        let (low, high) = (self.low.floor() as i32, self.high.ceil() as i32);
        let leads: &[f64] = match self.high - self.low {
            wide if wide > 3.0 => &[1.0],
            wide if wide > 1.7 => &[1.0, 3.0],
            _ => &[1.0, 2.0, 5.0],
        };
        let stride = ((f64::from(high - low) / TICKS).ceil() as usize).max(1);
        (low..=high)
            .step_by(stride)
            .flat_map(|power| leads.iter().map(move |lead| lead * 10_f64.powi(power)))
            .filter(|tick| (self.low - 1e-9..=self.high + 1e-9).contains(&tick.log10()))
            .collect()
    }
}

/// Steps of 1, 2 or 5 times a power of ten that divide a length.
fn step(length: f64) -> f64 {
    let rough = length / TICKS;
    let power = 10_f64.powf(rough.log10().floor());
    let lead = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|lead| lead * power >= rough * (1.0 - 1e-9));
    lead.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_has_round_ticks() {
        let ticks = |low: f64, high: f64| {
            Range::around(Scale::Logarithmic, [low, high].into_iter())
                .unwrap()
                .ticks()
        };
        assert_eq!(ticks(1e3, 1e7).len(), 5);
        let near: Vec<i64> = ticks(90.0, 600.0)
            .iter()
            .map(|t| t.round() as i64)
            .collect();
        assert_eq!(near, [100, 200, 500]);
    }

    #[test]
    fn a_linear_axis_keeps_zero_and_both_signs() {
        let range = Range::around(Scale::Linear, [-320.0, 910.0].into_iter()).unwrap();
        assert!(range.low <= -320.0 && range.high >= 910.0);
        assert!(range.ticks().iter().any(|tick| tick.abs() < 1e-9));
    }

    #[test]
    fn a_day_is_divided_by_six_hours_and_ends_at_midnight() {
        let range = Range::around(Scale::Steps(6.0), [0.0, 24.0].into_iter()).unwrap();
        let hours: Vec<i64> = range.ticks().iter().map(|t| t.round() as i64).collect();
        assert_eq!(hours, [0, 6, 12, 18, 24]);
    }
}
