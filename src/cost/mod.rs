//! What it costs: the price of a measured point and the ways to split a bill.

pub mod allocation;
pub mod rate;
