//! Quantities as types: a unit that is wrong does not compile.
//!
//! Each derived quantity is an `f64` in SI units behind a newtype with only the operators that mean
//! something. Raw observations are integers in the smallest unit ([`Nanos`]).
//!
//! ```
//! use mtok::units::{Seconds, Tokens, UsdPerHour};
//! let rate = Tokens::new(1_500.0) / Seconds::new(2.0);
//! assert_eq!(rate.value(), 750.0);
//! // 4 USD per hour at 750 tokens per second is 1.4815 USD per million tokens.
//! let price = UsdPerHour::new(4.0) / rate;
//! assert!((price.value() - 1.481_481).abs() < 1e-6);
//! ```

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

use serde::{Deserialize, Serialize};

/// One hour in seconds.
pub const SECONDS_PER_HOUR: f64 = 3_600.0;
/// Tokens in the unit in which APIs quote prices.
pub const TOKENS_PER_MTOK: f64 = 1e6;
/// One kilowatt-hour in joules.
pub const JOULES_PER_KILOWATT_HOUR: f64 = 3.6e6;

/// Defines a quantity: an `f64` with addition, scaling and the ratio of two of its kind.
macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(f64);

        impl $name {
            /// Nothing of it.
            pub const ZERO: Self = Self(0.0);

            /// Wraps a number that already has this unit.
            pub const fn new(value: f64) -> Self {
                Self(value)
            }

            /// The number in this unit.
            pub const fn value(self) -> f64 {
                self.0
            }

            /// The larger of two.
            #[must_use]
            pub fn max(self, other: Self) -> Self {
                Self(self.0.max(other.0))
            }

            /// The smaller of two.
            #[must_use]
            pub fn min(self, other: Self) -> Self {
                Self(self.0.min(other.0))
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }

        impl Div<f64> for $name {
            type Output = Self;
            fn div(self, divisor: f64) -> Self {
                Self(self.0 / divisor)
            }
        }

        impl Div for $name {
            type Output = f64;
            fn div(self, other: Self) -> f64 {
                self.0 / other.0
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, Add::add)
            }
        }
    };
}

/// Defines `A / B = C` together with `C * B = A` and `A / C = B`.
macro_rules! quotient {
    ($a:ident / $b:ident = $c:ident) => {
        impl Div<$b> for $a {
            type Output = $c;
            fn div(self, other: $b) -> $c {
                $c(self.0 / other.0)
            }
        }

        impl Mul<$b> for $c {
            type Output = $a;
            fn mul(self, other: $b) -> $a {
                $a(self.0 * other.0)
            }
        }

        impl Div<$c> for $a {
            type Output = $b;
            fn div(self, other: $c) -> $b {
                $b(self.0 / other.0)
            }
        }
    };
}

quantity!(
    /// A duration in seconds.
    Seconds
);
quantity!(
    /// A duration in hours, the unit in which machines are rented.
    Hours
);
quantity!(
    /// A number of tokens; a mean may be fractional.
    Tokens
);
quantity!(
    /// A rate in tokens per second. The name of the value says which tokens it counts.
    TokensPerSecond
);
quantity!(
    /// A number of requests; a mean may be fractional.
    Requests
);
quantity!(
    /// A rate in requests per second.
    RequestsPerSecond
);
quantity!(
    /// US dollars.
    Usd
);
quantity!(
    /// US dollars per hour of a machine or of one GPU; the name of the value says which.
    UsdPerHour
);
quantity!(
    /// US dollars per million tokens.
    UsdPerMtok
);
quantity!(
    /// A number of bytes; a mean may be fractional.
    Bytes
);
quantity!(
    /// Memory bandwidth in bytes per second.
    BytesPerSecond
);
quantity!(
    /// Floating-point operations; a multiply-add counts as two.
    Flop
);
quantity!(
    /// Arithmetic rate in floating-point operations per second.
    FlopPerSecond
);
quantity!(
    /// Energy in joules.
    Joules
);
quantity!(
    /// Power in watts.
    Watts
);

quantity!(
    /// Energy in joules per token; the name of the value says which tokens it counts.
    JoulesPerToken
);
quantity!(
    /// Price of electric energy in US dollars per kilowatt-hour.
    UsdPerKilowattHour
);

quotient!(Tokens / Seconds = TokensPerSecond);
quotient!(Requests / Seconds = RequestsPerSecond);
quotient!(Bytes / Seconds = BytesPerSecond);
quotient!(Flop / Seconds = FlopPerSecond);
quotient!(Joules / Seconds = Watts);
quotient!(Joules / Tokens = JoulesPerToken);
quotient!(Usd / Hours = UsdPerHour);

impl Seconds {
    /// The same duration in milliseconds.
    pub fn milliseconds(self) -> f64 {
        self.0 * 1e3
    }

    /// The same duration in hours.
    pub fn hours(self) -> Hours {
        Hours(self.0 / SECONDS_PER_HOUR)
    }
}

impl Hours {
    /// The same duration in seconds.
    pub fn seconds(self) -> Seconds {
        Seconds(self.0 * SECONDS_PER_HOUR)
    }
}

impl Tokens {
    /// The same count in millions.
    pub fn millions(self) -> f64 {
        self.0 / TOKENS_PER_MTOK
    }
}

impl Div<TokensPerSecond> for UsdPerHour {
    type Output = UsdPerMtok;
    /// `rate · 10⁶ / (3600 · throughput)`.
    fn div(self, throughput: TokensPerSecond) -> UsdPerMtok {
        UsdPerMtok(self.0 * TOKENS_PER_MTOK / (SECONDS_PER_HOUR * throughput.0))
    }
}

impl Div<Tokens> for Usd {
    type Output = UsdPerMtok;
    fn div(self, tokens: Tokens) -> UsdPerMtok {
        UsdPerMtok(self.0 / tokens.millions())
    }
}

impl Mul<Tokens> for UsdPerMtok {
    type Output = Usd;
    fn mul(self, tokens: Tokens) -> Usd {
        Usd(self.0 * tokens.millions())
    }
}

/// A point in time or a duration in integer nanoseconds: what is stored.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Nanos(u64);

impl Nanos {
    /// Wraps a number of nanoseconds.
    pub const fn new(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// The number of nanoseconds.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The duration from `earlier` to this moment, `None` when time ran backwards.
    pub fn since(self, earlier: Self) -> Option<Self> {
        self.0.checked_sub(earlier.0).map(Self)
    }

    /// The same duration in seconds.
    pub fn seconds(self) -> Seconds {
        Seconds(self.0 as f64 / 1e9)
    }
}

impl Add for Nanos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sum for Nanos {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self(0), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_times_its_time_gives_the_count_back() {
        let rate = Tokens::new(300.0) / Seconds::new(4.0);
        assert!(((rate * Seconds::new(4.0)).value() - 300.0).abs() < 1e-12);
    }

    #[test]
    fn price_per_mtok_times_tokens_is_the_bill() {
        let bill = UsdPerMtok::new(2.5) * Tokens::new(150_000_000.0);
        assert!((bill.value() - 375.0).abs() < 1e-9);
        assert!(((bill / Tokens::new(150_000_000.0)).value() - 2.5).abs() < 1e-12);
    }

    #[test]
    fn time_that_runs_backwards_has_no_duration() {
        assert_eq!(Nanos::new(5).since(Nanos::new(7)), None);
        assert_eq!(Nanos::new(7).since(Nanos::new(5)), Some(Nanos::new(2)));
    }
}
