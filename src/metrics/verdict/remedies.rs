//! What to do about each verdict.

use super::{Change, Verdict};

impl Verdict {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
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
            Self::ForeignUseUnknown(hidden) => hidden.remedy(),
            Self::CardChanged(Change::Setting(_)) => {
                "leave the card's settings alone during a run, and run again"
            }
            Self::CardChanged(Change::MemoryErrors) => {
                "its memory fails: run again on another card; reset this one, and have it replaced if errors come back"
            }
            Self::CardLost { .. } => {
                "take another card; on this one, reset it or restart the machine before it is used again"
            }
            Self::WorkerLost { .. } => "see the reason; --resume tries again what is missing",
            Self::Xid { .. } => {
                "look the number up in NVIDIA's list of XID errors; run again on another card if it comes back"
            }
            Self::MachineBusy { .. } | Self::Stolen { .. } => {
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
            Self::NothingMeasured => {
                "see why each point was skipped, and change the study until `mtok plan` shows one that runs"
            }
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
}
