//! What a reader should doubt, as data: a code, the point, what was seen and what to do about it.

mod remedies;
mod words;

use super::clocks::LowClock;
use super::energy::Unrest;
use super::foreign::{ForeignUse, Hidden};
use super::implausible::Implausible;
use super::latency::Drift;
use super::roofline::Exceeded;
use super::silence::Silence;
use super::throttling::Throttling;
use crate::study::model::Precision;
use crate::study::workload::PointId;

/// A doubt about a point, or about the run where there is no point.
#[derive(Debug, Clone, PartialEq)]
pub struct Warning {
    /// The point, if it concerns one.
    pub point: Option<PointId>,
    /// What is in doubt.
    pub verdict: Verdict,
}

/// What a reader should doubt. Shares are of 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Faster than the device can be.
    Impossible(Exceeded),
    /// The device waits for the host.
    HostBound {
        /// Mean utilization.
        utilization: f64,
        /// Memory bandwidth utilization.
        mbu: f64,
    },
    /// The card slowed itself down.
    Throttled(Throttling),
    /// A clock is below its maximum.
    Clocks(LowClock),
    /// Something else used the card.
    ForeignUse(ForeignUse),
    /// Whether something else used the card does not show here.
    ForeignUseUnknown(Hidden),
    /// A setting of the card changed, or its errors grew.
    CardChanged(Change),
    /// The card was lost after its points were measured.
    CardLost {
        /// Why.
        cause: String,
    },
    /// A worker was lost that should have added to results which are there.
    WorkerLost {
        /// How often.
        count: usize,
        /// Why the last time.
        reason: String,
    },
    /// The driver reported an error of the card that did not end it.
    Xid {
        /// Its number.
        number: u64,
    },
    /// The processor did something else in some blocks.
    MachineBusy {
        /// Blocks in which it did.
        blocks: usize,
        /// Blocks in all.
        of: usize,
        /// Lowest share of `threads × wall` that the worker got.
        lowest_share: f64,
        /// Highest share of stolen time, where the system tells.
        highest_steal: Option<f64>,
    },
    /// The hypervisor took time from the processor that launches the work of a card.
    Stolen {
        /// Share of the time of one processor.
        share: f64,
    },
    /// The machine changed during the run.
    Drift(Drift),
    /// Fewer blocks than asked for.
    TooFewSamples {
        /// Blocks.
        blocks: usize,
        /// Blocks asked for at least.
        wanted: u32,
    },
    /// The interval would reach beyond zero.
    NoInterval {
        /// Blocks.
        blocks: usize,
    },
    /// The interval is wider than asked for.
    WideInterval {
        /// Relative half-width.
        half_width: f64,
        /// Relative half-width asked for.
        target: f64,
    },
    /// Neighbouring blocks resemble each other.
    Autocorrelated {
        /// Lag-1 autocorrelation.
        lag1: f64,
    },
    /// Memory was nearly used up.
    MemoryNearLimit {
        /// Highest use.
        used_bytes: u64,
        /// What there is.
        total_bytes: u64,
    },
    /// Sensors were silent for part of the time.
    TelemetryDegraded {
        /// Longest time without a reading ÷ the period asked for.
        longest_gap: f64,
        /// Why the driver gave none, where it is the cause.
        silence: Option<String>,
    },
    /// A sensor has read what cannot be.
    Implausible {
        /// The first time.
        first: Box<Implausible>,
        /// How often after that.
        more: usize,
    },
    /// Sensors fell silent while others still answered.
    SensorsSilent(Silence),
    /// The idle power that net energy is net of was read before the card was at rest.
    Unrest(Unrest),
    /// No sensor could be read on a card.
    TelemetryMissing {
        /// Why, where the record says so.
        reason: Option<String>,
    },
    /// The device's limits were not measured.
    LimitsMissing,
    /// Host and device disagree about how long the same work took.
    EventTime {
        /// Host time ÷ device time − 1.
        disagreement: f64,
    },
    /// The working set fits the cache.
    InCache {
        /// Bytes read per step.
        bytes: f64,
    },
    /// Generations were left out.
    InvalidGenerations {
        /// How many.
        count: usize,
        /// Of how many.
        of: usize,
    },
    /// The session did not end on its own terms.
    Interrupted,
    /// Every point was skipped.
    NothingMeasured,
    /// The price is old.
    PriceOld {
        /// Its age.
        days: i64,
    },
    /// Most weights of a precision are of another type.
    FellBack {
        /// The precision as it is called.
        asked: Precision,
        /// The type of most weights.
        held: String,
        /// Bits per weight over all matrices.
        bits_per_weight: f64,
    },
    /// The price has no date.
    PriceUndated,
    /// There is no price.
    PriceMissing,
    /// The price is that of a card that the device is not.
    PriceOfOther {
        /// Id of the card.
        card: String,
        /// Name of the device.
        device: String,
    },
    /// A price of energy was given and no energy was measured.
    EnergyPriceUnused,
    /// Not the engine whose speed is on offer.
    StockEngine,
    /// No device was measured.
    Simulated,
}

/// What changed about a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This setting.
    Setting(&'static str),
    /// The number of memory errors that could not be corrected.
    MemoryErrors,
}

impl Verdict {
    /// The name of the doubt in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Impossible(_) => "impossible",
            Self::HostBound { .. } => "host_bound",
            Self::Throttled(_) => "throttled",
            Self::Clocks(_) => "clocks",
            Self::ForeignUse(_) => "foreign_use",
            Self::ForeignUseUnknown(_) => "foreign_use_unknown",
            Self::CardChanged(_) => "card_changed",
            Self::Xid { .. } => "xid",
            Self::CardLost { .. } => "card_lost",
            Self::WorkerLost { .. } => "worker_lost",
            Self::MachineBusy { .. } | Self::Stolen { .. } => "machine_busy",
            Self::Drift(_) => "drift",
            Self::TooFewSamples { .. } => "too_few_samples",
            Self::NoInterval { .. } => "no_interval",
            Self::WideInterval { .. } => "wide_interval",
            Self::Autocorrelated { .. } => "autocorrelated",
            Self::MemoryNearLimit { .. } => "memory_near_limit",
            Self::TelemetryDegraded { .. } => "telemetry_degraded",
            Self::Implausible { .. } => "implausible_readings",
            Self::SensorsSilent(_) => "sensors_silent",
            Self::Unrest(_) => "unrest",
            Self::TelemetryMissing { .. } => "telemetry_missing",
            Self::LimitsMissing => "limits_missing",
            Self::EventTime { .. } => "event_time",
            Self::InCache { .. } => "in_cache",
            Self::InvalidGenerations { .. } => "invalid_generations",
            Self::Interrupted => "interrupted",
            Self::NothingMeasured => "nothing_measured",
            Self::PriceOld { .. } => "price_old",
            Self::FellBack { .. } => "fell_back",
            Self::PriceUndated => "price_undated",
            Self::PriceMissing => "price_missing",
            Self::PriceOfOther { .. } => "price_of_other",
            Self::EnergyPriceUnused => "energy_price_unused",
            Self::StockEngine => "stock_engine",
            Self::Simulated => "simulated",
        }
    }

    /// How bad it is beside others of its kind; `None` where each says something of its own.
    pub fn severity(&self) -> Option<f64> {
        Some(match self {
            Self::HostBound { utilization, .. } => -utilization,
            Self::Clocks(low) => -low.share,
            Self::MachineBusy { lowest_share, .. } => -lowest_share,
            Self::Stolen { share } => *share,
            Self::Drift(drift) => drift.change.abs(),
            Self::TooFewSamples { blocks, .. } | Self::NoInterval { blocks } => -(*blocks as f64),
            Self::WideInterval { half_width, .. } => *half_width,
            Self::Autocorrelated { lag1 } => *lag1,
            Self::MemoryNearLimit { used_bytes, .. } => *used_bytes as f64,
            Self::TelemetryDegraded { longest_gap, .. } => *longest_gap,
            Self::Implausible { more, .. } => *more as f64,
            Self::SensorsSilent(silence) => silence.share,
            Self::EventTime { disagreement } => disagreement.abs(),
            Self::InCache { bytes } => -bytes,
            Self::InvalidGenerations { count, .. } => *count as f64,
            Self::PriceOld { days } => *days as f64,
            Self::Impossible(exceeded) => exceeded.ratio,
            Self::Throttled(throttling) => throttling.worst(),
            Self::ForeignUse(_)
            | Self::ForeignUseUnknown(_)
            | Self::CardChanged(_)
            | Self::Xid { .. }
            | Self::CardLost { .. }
            | Self::WorkerLost { .. }
            | Self::Unrest(_)
            | Self::TelemetryMissing { .. }
            | Self::LimitsMissing
            | Self::Interrupted
            | Self::NothingMeasured
            | Self::PriceUndated
            | Self::PriceMissing
            | Self::PriceOfOther { .. }
            | Self::EnergyPriceUnused
            | Self::StockEngine
            | Self::FellBack { .. }
            | Self::Simulated => return None,
        })
    }

    /// Whether `--strict` refuses the result: its number is in doubt, or what would put it in doubt could
    /// not be seen, or the card had no room left. The others tell the reader what a sound number does not
    /// mean.
    pub const fn invalidates(&self) -> bool {
        match self {
            Self::Clocks(low) => low.is_doubtful(),
            Self::Impossible(_)
            | Self::HostBound { .. }
            | Self::Throttled(_)
            | Self::ForeignUse(_)
            | Self::ForeignUseUnknown(_)
            | Self::CardChanged(_)
            | Self::Xid { .. }
            | Self::CardLost { .. }
            | Self::WorkerLost { .. }
            | Self::MachineBusy { .. }
            | Self::Stolen { .. }
            | Self::Drift(_)
            | Self::TooFewSamples { .. }
            | Self::NoInterval { .. }
            | Self::WideInterval { .. }
            | Self::Autocorrelated { .. }
            | Self::MemoryNearLimit { .. }
            | Self::TelemetryDegraded { .. }
            | Self::Implausible { .. }
            | Self::SensorsSilent(_)
            | Self::Unrest(_)
            | Self::TelemetryMissing { .. }
            | Self::LimitsMissing
            | Self::EventTime { .. }
            | Self::InvalidGenerations { .. }
            | Self::PriceOfOther { .. }
            | Self::NothingMeasured
            | Self::Interrupted => true,
            Self::InCache { .. }
            | Self::PriceOld { .. }
            | Self::PriceUndated
            | Self::PriceMissing
            | Self::EnergyPriceUnused
            | Self::StockEngine
            | Self::FellBack { .. }
            | Self::Simulated => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::clocks::{Cause, Domain};
    use crate::metrics::foreign::When;
    use crate::metrics::roofline::Ceiling;
    use crate::metrics::throttling::tests::throttling;

    #[test]
    fn strict_refuses_what_puts_a_number_or_the_state_of_its_card_in_doubt() {
        let processes = 1;
        let when = When::Before;
        let share = 0.5;
        let throttling = throttling(&[0x4, 0]);
        let refused = [
            Verdict::Impossible(Exceeded {
                limit: Ceiling::Bandwidth,
                ratio: 1.2,
            }),
            Verdict::HostBound {
                utilization: share,
                mbu: 0.1,
            },
            Verdict::Throttled(throttling),
            Verdict::Clocks(LowClock {
                of: Domain::Sm,
                share,
                cause: Cause::Unknown,
            }),
            Verdict::ForeignUse(ForeignUse::Processes { when, processes }),
            Verdict::ForeignUseUnknown(Hidden::ByDriver),
            Verdict::MachineBusy {
                blocks: 1,
                of: 2,
                lowest_share: share,
                highest_steal: None,
            },
            Verdict::TooFewSamples {
                blocks: 1,
                wanted: 2,
            },
            Verdict::WideInterval {
                half_width: 0.02,
                target: 0.01,
            },
            Verdict::MemoryNearLimit {
                used_bytes: 99,
                total_bytes: 100,
            },
            Verdict::TelemetryDegraded {
                longest_gap: 4.0,
                silence: None,
            },
            Verdict::TelemetryMissing { reason: None },
        ];
        for verdict in refused {
            assert!(verdict.invalidates(), "{verdict}");
            assert!(!verdict.remedy().is_empty());
        }
        let kept = [
            Verdict::InCache { bytes: 1.0 },
            Verdict::PriceMissing,
            Verdict::Simulated,
        ];
        for verdict in kept {
            assert!(!verdict.invalidates(), "{verdict}");
        }
    }
}
