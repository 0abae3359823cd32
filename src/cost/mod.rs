//! What is concluded about money: from measured tokens to a decision.

pub mod bill;
pub mod conversation;
pub mod length;
pub mod piece;
pub mod scenario;
pub mod shared;
pub mod trace;
pub mod traffic;
pub mod turns;
