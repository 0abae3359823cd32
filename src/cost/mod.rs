//! What is concluded about money: the price of a measured point, and the way from measured tokens to
//! a decision.

pub mod allocation;
pub mod rate;
