//! How fast a machine is taken to be, and how that is known.

use crate::units::{BytesPerSecond, FlopPerSecond};

/// Bytes that a CPU of which nothing is known reads per second: an older machine's two channels of memory.
const ASSUMED_READ: f64 = 2e10;
/// Arithmetic of two threads of such a CPU: one core of 3 GHz with two multiply-adds of eight numbers.
const ASSUMED_MATMUL_OF_TWO: f64 = 1e11;

/// Rates that bound every step of an engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Bytes read per second.
    pub read: BytesPerSecond,
    /// Matrix arithmetic.
    pub matmul: FlopPerSecond,
    /// How they are known.
    pub origin: Origin,
}

/// How a speed is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From a data sheet or a measurement.
    Known,
    /// Nothing is known of the machine but its threads.
    Assumed,
}

impl Speed {
    /// What a CPU with this many threads is taken for before anything was measured on it.
    pub fn assumed(threads: u32) -> Self {
        Self {
            read: BytesPerSecond::new(ASSUMED_READ),
            matmul: FlopPerSecond::new(ASSUMED_MATMUL_OF_TWO * f64::from(threads) / 2.0),
            origin: Origin::Assumed,
        }
    }
}
