//! What was seen, in words: one line of a report per verdict.

use std::fmt;

use super::{Change, Verdict};
use crate::metrics::roofline::Ceiling;
use crate::record::xid;

#[expect(
    clippy::too_many_lines,
    reason = "a table: the words of each verdict, and nothing else"
)]
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        match self {
            Self::Impossible(exceeded) => {
                let limit = match exceeded.limit {
                    Ceiling::Bandwidth => "memory bandwidth",
                    Ceiling::Matmul => "matmul rate",
                };
                write!(f, "{:.2} times the {limit} of the device", exceeded.ratio)
            }
            Self::HostBound { utilization, mbu } => write!(
                f,
                "the card was busy {} of the time at {} of its read bandwidth",
                percent(*utilization),
                percent(*mbu)
            ),
            Self::Throttled(throttling) => write!(f, "{throttling}"),
            Self::Clocks(low) => write!(f, "{low}"),
            Self::ForeignUse(use_by_others) => write!(f, "{use_by_others}"),
            Self::ForeignUseUnknown(hidden) => {
                write!(f, "cannot tell whether others used the card: {hidden}")
            }
            Self::CardChanged(Change::Setting(what)) => write!(f, "{what} changed during the run"),
            Self::CardChanged(Change::MemoryErrors) => {
                f.write_str("the number of uncorrected memory errors grew during the run")
            }
            Self::CardLost { cause } => write!(f, "the card was lost: {cause}"),
            Self::WorkerLost { count, reason } => write!(f, "{count} workers lost: {reason}"),
            Self::Xid { number } => {
                let meaning = xid::meaning(*number);
                write!(f, "the driver reported XID {number}: {meaning}")
            }
            Self::MachineBusy {
                blocks,
                of,
                lowest_share,
                highest_steal,
            } => {
                let steal = highest_steal.map_or(String::new(), |steal| {
                    format!(", {} stolen by the hypervisor", percent(steal))
                });
                write!(
                    f,
                    "in {blocks} of {of} blocks the worker lacked processor time: down to {} of its threads{steal}",
                    percent(*lowest_share)
                )
            }
            Self::Stolen { share } => write!(
                f,
                "the hypervisor took {} of the time of one processor, and one launches the card's work",
                percent(*share)
            ),
            Self::Drift(drift) => write!(
                f,
                "time per generation changed by {:+.1} % until the end of load {}",
                drift.change * 100.0,
                drift.load
            ),
            Self::TooFewSamples { blocks, wanted } => {
                write!(f, "{blocks} blocks instead of {wanted}")
            }
            Self::NoInterval { blocks } => write!(
                f,
                "the {blocks} blocks differ so much that no interval can be given"
            ),
            Self::WideInterval { half_width, target } => write!(
                f,
                "interval of ± {} instead of ± {}",
                percent(*half_width),
                percent(*target)
            ),
            Self::Autocorrelated { lag1 } => {
                write!(f, "neighbouring blocks correlate with {lag1:.2}")
            }
            Self::MemoryNearLimit {
                used_bytes,
                total_bytes,
            } => write!(
                f,
                "{} of the memory was used",
                percent(*used_bytes as f64 / *total_bytes as f64)
            ),
            Self::TelemetryDegraded {
                longest_gap,
                silence,
            } => {
                write!(f, "no reading for {longest_gap:.0} periods")?;
                match silence {
                    Some(reason) => write!(f, ": {reason}"),
                    None => Ok(()),
                }
            }
            Self::Implausible { first, more: 0 } => write!(f, "{first}"),
            Self::Implausible { first, more } => write!(f, "{first}; {more} more like it"),
            Self::SensorsSilent(silence) => write!(f, "{silence}"),
            Self::Unrest(unrest) => write!(f, "{unrest}"),
            Self::TelemetryMissing { reason: None } => {
                f.write_str("no sensor of the card could be read")
            }
            Self::TelemetryMissing {
                reason: Some(reason),
            } => write!(f, "no sensor of the card could be read: {reason}"),
            Self::LimitsMissing => f.write_str(
                "the limits of the device were not measured, so no number shows how close it came to them",
            ),
            Self::EventTime { disagreement } => write!(
                f,
                "host and device times differ by {:+.1} %",
                disagreement * 100.0
            ),
            Self::InCache { bytes } => write!(
                f,
                "a step reads {:.0} MB, below four times the last-level cache",
                bytes / 1e6
            ),
            Self::InvalidGenerations { count, of } => {
                write!(f, "{count} of {of} generations were left out")
            }
            Self::Interrupted => f.write_str("the run did not finish"),
            Self::NothingMeasured => f.write_str("every point was skipped, so nothing was measured"),
            Self::PriceOld { days } => write!(f, "the price is {days} days old"),
            Self::FellBack {
                asked,
                held,
                bits_per_weight,
            } => write!(
                f,
                "what is called {asked} is held mostly as {held}, at {bits_per_weight:.2} bits per weight: the \
                 model's rows are no multiples of {asked}'s blocks"
            ),
            Self::PriceUndated => f.write_str("the price has no date"),
            Self::PriceMissing => f.write_str("no price of the device is known"),
            Self::PriceOfOther { card, device } => {
                write!(f, "priced as {card}, but measured on {device}")
            }
            Self::EnergyPriceUnused => {
                f.write_str("a price of energy was given, but no energy was measured")
            }
            Self::StockEngine => {
                f.write_str("the stock engine is a yardstick, not the fastest this program has")
            }
            Self::Simulated => f.write_str("times come from a script, not from a device"),
        }
    }
}
