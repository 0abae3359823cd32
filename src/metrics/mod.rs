//! What the facts say: estimates with intervals, the hardware's limits, doubts, and comparisons.

pub mod card_use;
pub mod clocks;
pub mod comparison;
pub(crate) mod difference;
pub mod doubt;
pub mod energy;
pub mod facts;
pub mod fallback;
#[cfg(test)]
pub(crate) mod fixture;
pub mod foreign;
pub mod implausible;
pub mod latency;
pub mod quality;
pub mod roofline;
pub mod sensors;
pub mod silence;
pub mod stats;
pub mod throttling;
pub mod unmeasured;
pub mod verdict;
