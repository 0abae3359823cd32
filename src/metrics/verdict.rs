//! What a reader should doubt, as data: a code, the point, what was seen and what to do about it.

mod words;

use super::clocks::LowClock;
use super::energy::Unrest;
use super::foreign::ForeignUse;
use super::implausible::Implausible;
use super::latency::Drift;
use super::roofline::Exceeded;
use super::sensors::Throttling;
use super::silence::Silence;
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
    ForeignUseUnknown,
    /// A setting of the card changed, or its errors grew.
    CardChanged {
        /// Which.
        what: &'static str,
    },
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

impl Verdict {
    /// The name of the doubt in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Impossible(_) => "impossible",
            Self::HostBound { .. } => "host_bound",
            Self::Throttled(_) => "throttled",
            Self::Clocks(_) => "clocks",
            Self::ForeignUse(_) => "foreign_use",
            Self::ForeignUseUnknown => "foreign_use_unknown",
            Self::CardChanged { .. } => "card_changed",
            Self::Xid { .. } => "xid",
            Self::CardLost { .. } => "card_lost",
            Self::WorkerLost { .. } => "worker_lost",
            Self::MachineBusy { .. } => "machine_busy",
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

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Impossible(_) => {
                "do not use the number; check that the device in the record is the one that ran, and report the study"
            }
            Self::HostBound { .. } => {
                "raise the batch size, or free the processor core that launches the work"
            }
            Self::Throttled(throttling) => throttling.remedy(),
            Self::Clocks(low) => low.remedy(),
            Self::ForeignUse(_) => "stop the other processes on the card and run again",
            Self::ForeignUseUnknown => {
                "run on the host or with its process ids (docker run --pid=host), or rent the whole machine"
            }
            Self::CardChanged { .. } => {
                "leave the card's settings alone during a run, and run again"
            }
            Self::CardLost { .. } => {
                "take another card; on this one, reset it or restart the machine before it is used again"
            }
            Self::WorkerLost { .. } => "see the reason; --resume tries again what is missing",
            Self::Xid { .. } => {
                "look the number up in NVIDIA's list of XID errors; run again on another card if it comes back"
            }
            Self::MachineBusy { .. } => {
                "stop other programs, or run on a machine of its own, and run again"
            }
            Self::Drift(_) => "let the machine settle, raise measure.warmup_seconds and run again",
            Self::TooFewSamples { .. } => "raise measure.max_seconds or --max-minutes",
            Self::NoInterval { .. } | Self::WideInterval { .. } => {
                "raise measure.max_blocks and measure.max_seconds, or measure.launches where processes differ"
            }
            Self::Autocorrelated { .. } => {
                "raise measure.min_block_seconds so that one block outlasts the disturbance"
            }
            Self::MemoryNearLimit { .. } => {
                "leave room for longer prompts: lower the batch size or the precision"
            }
            Self::TelemetryDegraded { silence: None, .. } => {
                "free a processor core for the sampler and run again; if it comes back, look for driver errors (dmesg | grep NVRM)"
            }
            Self::TelemetryDegraded {
                silence: Some(_), ..
            }
            | Self::SensorsSilent(_) => {
                "look for driver errors (dmesg | grep NVRM), restart the driver or the machine, and run again"
            }
            Self::Implausible { .. } => {
                "use nothing that rests on this sensor; `mtok verify` lists every such reading; update the driver, or take another card"
            }
            Self::Unrest(_) => {
                "end what else uses the card, wait until `nvidia-smi` shows steady power, and run again"
            }
            Self::TelemetryMissing { .. } => "see what `mtok doctor` says about NVML",
            Self::LimitsMissing => "free memory of the device; --resume measures them",
            Self::EventTime { .. } => {
                "check for other work on the card; trust the device time only after a second run"
            }
            Self::InCache { .. } => {
                "take a larger model or batch before concluding anything about memory bandwidth"
            }
            Self::InvalidGenerations { .. } => {
                "stop other programs and run again; if they come back, the engine breaks its timing contract: report the study"
            }
            Self::Interrupted => "finish it with --resume",
            Self::PriceOld { .. } | Self::PriceUndated => {
                "look the rate up again and give it with --usd-per-hour"
            }
            Self::FellBack { .. } => {
                "compare it under the name of that type, or ask for one with blocks of 32, like q8_0 or q4_0"
            }
            Self::PriceMissing => "give the rate of the machine with --usd-per-hour",
            Self::PriceOfOther { .. } => {
                "leave --gpu (price.gpu) out, or give the rate of the machine with --usd-per-hour"
            }
            Self::EnergyPriceUnused => {
                "set measure.energy = true in study.toml and run on a card, or leave --usd-per-kwh and --pue out"
            }
            Self::StockEngine => "measure with --engine decoder for the speed on offer",
            Self::Simulated => "measure on a device; a simulated result has no price",
        }
    }

    /// How bad it is beside others of its kind; 0 where they are all alike.
    pub fn severity(&self) -> f64 {
        match self {
            Self::HostBound { utilization, .. } => -utilization,
            Self::Clocks(low) => -low.share,
            Self::MachineBusy { lowest_share, .. } => -lowest_share,
            Self::Drift(drift) => drift.change.abs(),
            Self::TooFewSamples { blocks, .. } => -(*blocks as f64),
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
            Self::Throttled(_)
            | Self::ForeignUse(_)
            | Self::ForeignUseUnknown
            | Self::CardChanged { .. }
            | Self::Xid { .. }
            | Self::CardLost { .. }
            | Self::WorkerLost { .. }
            | Self::Unrest(_)
            | Self::TelemetryMissing { .. }
            | Self::LimitsMissing
            | Self::NoInterval { .. }
            | Self::Interrupted
            | Self::PriceUndated
            | Self::PriceMissing
            | Self::PriceOfOther { .. }
            | Self::EnergyPriceUnused
            | Self::StockEngine
            | Self::FellBack { .. }
            | Self::Simulated => 0.0,
        }
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
            | Self::ForeignUseUnknown
            | Self::CardChanged { .. }
            | Self::Xid { .. }
            | Self::CardLost { .. }
            | Self::WorkerLost { .. }
            | Self::MachineBusy { .. }
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

    #[test]
    fn strict_refuses_what_puts_a_number_or_the_state_of_its_card_in_doubt() {
        let processes = 1;
        let when = When::Before;
        let share = 0.5;
        let throttling = Throttling {
            power: share,
            thermal: 0.0,
            hardware: 0.0,
        };
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
            Verdict::ForeignUseUnknown,
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
