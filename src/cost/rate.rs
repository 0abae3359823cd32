//! The price of a measured point at the hourly rate of its machine.
//!
//! At full load the bill of one generation is `rate · E2EL`. It splits exactly by time:
//!
//! ```text
//! input   = rate · (first − t0)   / N_in       N_in  = B·ISL
//! output  = rate · (last − first) / N_out      N_out = B·OSL
//! blended = rate · (last − t0)    / (N_in + N_out)
//! floor   = rate · (shortest time at the measured limits) / (N_in + N_out)
//! ```
//! so input · N_in + output · N_out is the bill. A machine that is busy a share u of the time costs
//! 1/u as much per token. Intervals follow from those of the times; the rate is taken as exact.
//!
//! ```
//! use mtok::units::{Seconds, Tokens, UsdPerHour};
//! // 4 USD per hour; 16 · 512 tokens read in 0.5 s, 16 · 128 written in 2 s.
//! let bill = |time: f64| UsdPerHour::new(4.0) * Seconds::new(time).hours();
//! assert!(((bill(0.5) / Tokens::new(8_192.0)).value() - 0.067_817).abs() < 1e-6);
//! assert!(((bill(2.0) / Tokens::new(2_048.0)).value() - 1.085_069).abs() < 1e-6);
//! ```

use super::allocation::{Method, Mix, Phases, Split};
use crate::metrics::latency::Latency;
use crate::metrics::roofline::Floor;
use crate::metrics::stats::Estimate;
use crate::units::{Seconds, Tokens, UsdPerHour, UsdPerMtok};

/// What one hour of the machine costs and who says so.
#[derive(Debug, Clone, PartialEq)]
pub struct HourlyPrice {
    /// The rate of the whole machine that was measured.
    pub usd_per_hour: UsdPerHour,
    /// What is rented, such as the card and the provider or "the user's rate".
    pub label: String,
    /// Where the rate was read.
    pub source: String,
    /// When it was read; `None` for a rate that the user gave without a date.
    pub as_of: Option<jiff::civil::Date>,
    /// Who names the rate.
    pub origin: Origin,
}

/// Who names a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The dated catalog.
    Catalog,
    /// The person who runs the study.
    User,
}

/// The price of a measured point at full load.
#[derive(Debug, Clone, PartialEq)]
pub struct PointPrice {
    /// Of a million input tokens.
    pub input: Estimate<UsdPerMtok>,
    /// Of a million output tokens; `None` when OSL is 1, where no decode was measured.
    pub output: Option<Estimate<UsdPerMtok>>,
    /// Of a million tokens of either kind.
    pub blended: Estimate<UsdPerMtok>,
    /// Blended, at 100 % of the measured limits of the device; `None` where they were not measured.
    pub floor: Option<UsdPerMtok>,
}

impl PointPrice {
    /// Prices a measured point.
    pub fn new(rate: UsdPerHour, latency: &Latency, floor: Option<&Floor>) -> Self {
        let (input, output) = (latency.input_tokens(), latency.output_tokens());
        let price = |time: Seconds, tokens: Tokens| rate * time.hours() / tokens;
        Self {
            input: latency.ttft.rising(|time| price(time, input)),
            output: latency
                .decode_time
                .map(|estimate| estimate.rising(|time| price(time, output))),
            blended: latency.e2el.rising(|time| price(time, input + output)),
            floor: floor.map(|floor| price(floor.whole, input + output)),
        }
    }

    /// The same point on a machine that is busy this share of the time.
    #[must_use]
    pub fn at_utilization(&self, share: f64) -> Self {
        let dearer = |price: &Estimate<UsdPerMtok>| price.rising(|usd| usd / share);
        Self {
            input: dearer(&self.input),
            output: self.output.as_ref().map(dearer),
            blended: dearer(&self.blended),
            floor: self.floor.map(|usd| usd / share),
        }
    }
}

/// The price of a measured point by one of the named methods.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodPrice {
    /// The method.
    pub method: Method,
    /// Of a million input tokens.
    pub input: Estimate<UsdPerMtok>,
    /// Of a million output tokens.
    pub output: Estimate<UsdPerMtok>,
    /// The factor of a time share.
    pub kappa: Option<f64>,
}

impl MethodPrice {
    /// Prices a measured point by `method` over its own mix.
    ///
    /// The interval is that of the end-to-end latency, to which every method's price is proportional
    /// while the shares of the phases stay as estimated.
    pub fn new(rate: UsdPerHour, latency: &Latency, method: Method) -> Self {
        let (input, output) = (latency.input_tokens(), latency.output_tokens());
        let center = latency.e2el.value;
        let mix = Mix {
            input: input / center,
            output: output / center,
        };
        let Split {
            input,
            output,
            kappa,
        } = method.split(rate, mix);
        let along = |price: UsdPerMtok| latency.e2el.rising(|time| price * (time / center));
        Self {
            method,
            input: along(input),
            output: along(output),
            kappa,
        }
    }
}

/// The rates of each phase alone, as the point itself shows them; `None` when OSL is 1.
pub fn phases(latency: &Latency) -> Option<Phases> {
    Some(Phases {
        prefill: latency.prefill().value,
        decode: latency.decode()?.value,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::fixture::{Script, generation, point};

    fn latency(batch: u32, isl: u32, osl: u32, times: &[(u64, u64)]) -> Latency {
        let point = point(batch, isl, osl);
        let mut script = Script::new(&[point]);
        for (first, step) in times {
            script.block(
                point,
                vec![generation(*first, &vec![*step; osl as usize - 1])],
            );
        }
        Latency::of(&script.facts(), point).unwrap()
    }

    #[track_caller]
    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9 * b.abs().max(1e-9), "{a} is not {b}");
    }

    #[test]
    fn a_point_costs_what_its_time_costs() {
        // 3.6 USD per hour is 1 mUSD per second: 0.5 s for 100 tokens, 1 s for 10.
        let latency = latency(1, 100, 10, &[(500_000_000, 111_111_111); 3]);
        let price = PointPrice::new(UsdPerHour::new(3.6), &latency, None);
        close(price.input.value.value(), 5.0);
        assert!((price.output.unwrap().value.value() - 100.0).abs() < 1e-6);
        assert!((price.blended.value.value() - 1.5e-3 / 110.0 * 1e6).abs() < 1e-6);
        assert_eq!(price.floor, None);
    }

    #[test]
    fn a_single_token_has_no_output_price() {
        let latency = latency(1, 100, 1, &[(500_000_000, 0); 3]);
        let price = PointPrice::new(UsdPerHour::new(3.6), &latency, None);
        assert_eq!(price.output, None);
        close(price.blended.value.value(), 5e-4 / 101.0 * 1e6);
        assert_eq!(phases(&latency), None);
    }

    #[test]
    fn half_the_utilization_is_twice_the_price() {
        let latency = latency(
            1,
            100,
            10,
            &[(500, 100), (480, 101), (520, 99)]
                .map(|(first, step)| (first * 1_000_000, step * 1_000_000)),
        );
        let floor = Floor {
            prefill: Seconds::new(0.1),
            step: Seconds::new(0.01),
            whole: Seconds::new(0.19),
        };
        let full = PointPrice::new(UsdPerHour::new(3.6), &latency, Some(&floor));
        let half = full.at_utilization(0.5);
        close(half.blended.value.value(), 2.0 * full.blended.value.value());
        let bounds = |price: &PointPrice| price.blended.interval.unwrap();
        close(bounds(&half).low.value(), 2.0 * bounds(&full).low.value());
        close(bounds(&half).high.value(), 2.0 * bounds(&full).high.value());
        assert!(bounds(&half).low < half.blended.value);
        close(full.floor.unwrap().value(), 1.9e-4 / 110.0 * 1e6);
        close(
            half.floor.unwrap().value(),
            2.0 * full.floor.unwrap().value(),
        );
    }

    #[test]
    fn the_interval_of_the_time_is_carried_through() {
        let times = [19, 20, 21].map(|tenths| (tenths * 100_000_000, 1));
        let latency = latency(1, 100, 1, &times);
        let price = PointPrice::new(UsdPerHour::new(3.6), &latency, None).input;
        close(price.value.value(), 20.0);
        assert!((price.high().unwrap().value() - 22.484_14).abs() < 1e-4);
    }

    #[test]
    fn a_time_share_of_the_point_itself_is_its_exact_split_but_for_the_first_token() {
        // Prefill 1 s for 100, decode 1 s for 10 of 11 tokens: busy = 1/2 + 11/10 · 1/2 = 1.05.
        let latency = latency(1, 100, 11, &[(1_000_000_000, 100_000_000); 3]);
        let method = Method::TimeShare(phases(&latency).unwrap());
        let price = MethodPrice::new(UsdPerHour::new(3.6), &latency, method);
        close(price.kappa.unwrap(), 1.0 / 1.05);
        close(price.input.value.value(), 10.0 / 1.05);
        close(price.output.value.value(), 100.0 / 1.05);
    }

    proptest! {
        #[test]
        fn input_and_output_add_up_to_the_bill(
            batch in 1_u32..64, isl in 1_u32..4_096, osl in 2_u32..64,
            first in 1_u64..10_000_000_000, step in 1_u64..1_000_000_000, rate in 0.01_f64..100.0,
        ) {
            let latency = latency(batch, isl, osl, &[(first, step), (first + 1, step)]);
            let rate = UsdPerHour::new(rate);
            let price = PointPrice::new(rate, &latency, None);
            let (n_in, n_out) = (latency.input_tokens(), latency.output_tokens());
            let bill = (rate * latency.e2el.value.hours()).value();
            let split = price.input.value * n_in + price.output.unwrap().value * n_out;
            prop_assert!((split.value() - bill).abs() <= 1e-12 * bill.max(1e-9));
            let blended = price.blended.value * (n_in + n_out);
            prop_assert!((blended.value() - bill).abs() <= 1e-12 * bill.max(1e-9));
        }

        #[test]
        fn doubling_the_rate_doubles_every_price(rate in 0.01_f64..100.0, step in 1_000_u64..1_000_000_000) {
            let latency = latency(2, 64, 8, &[(step * 3, step); 3]);
            let once = PointPrice::new(UsdPerHour::new(rate), &latency, None);
            let twice = PointPrice::new(UsdPerHour::new(2.0 * rate), &latency, None);
            prop_assert!((twice.input.value.value() / once.input.value.value() - 2.0).abs() < 1e-12);
            prop_assert!((twice.blended.value.value() / once.blended.value.value() - 2.0).abs() < 1e-12);
        }
    }
}
