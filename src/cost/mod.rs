//! What is concluded about money: the price of a measured point, and the way from measured tokens to
//! a decision.

pub mod allocation;
pub mod answer;
pub mod bill;
pub mod breakeven;
pub mod budget;
pub mod capacity;
pub mod case;
mod claim;
mod comparison;
pub mod conversation;
pub mod copula;
mod decide;
pub mod distribution;
mod doubt_host;
pub mod fits;
pub mod fleet;
pub mod horizon;
mod hourly;
mod ledger;
pub mod length;
pub mod measured;
pub mod memory;
pub mod outlook;
mod overflow;
pub mod owned;
pub mod parameter;
pub mod parts;
pub mod piece;
mod price_row;
pub mod rate;
pub mod resolve;
mod resolve_host;
pub mod scenario;
pub mod sensitivity;
pub mod shared;
pub mod trace;
pub mod traffic;
pub mod turns;
pub mod uncertainty;
mod verdict;
pub mod view;
pub mod warning;
pub mod yardstick;

pub use decide::{answer, break_evens};
pub use resolve_host::HostFacts;
