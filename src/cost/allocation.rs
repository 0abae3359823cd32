//! Ways to split the cost of an hour between input and output tokens.
//!
//! Several are in use under the same name, so each is named. All but one add up: tokens of each side
//! times their price give the hour's cost ([`Split::bill`]). With c dollars per hour, T the rates of one
//! mix and μ the rates of each phase alone:
//!
//! | method | input | output |
//! |---|---|---|
//! | output only | 0 | `c / T_out` |
//! | total tokens | `c / (T_in + T_out)` | the same |
//! | full load each side | `c / T_in` | `c / T_out`: bills twice |
//! | time share | `κ·c / μ_p` | `κ·c / μ_d`, `κ = 1/(T_in/μ_p + T_out/μ_d)` |
//! | price ratio r | `c / (T_in + r·T_out)` | r times that |

use std::fmt;

use crate::units::{TokensPerSecond, UsdPerHour, UsdPerMtok};

/// Output price ÷ input price of most APIs: the median of LiteLLM's price list.
pub const USUAL_PRICE_RATIO: f64 = 4.0;

/// Rates of input and output tokens of one mix, measured together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// Input tokens per second.
    pub input: TokensPerSecond,
    /// Output tokens per second.
    pub output: TokensPerSecond,
}

/// Rates of each phase while it runs alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phases {
    /// Input tokens per second of prefill.
    pub prefill: TokensPerSecond,
    /// Output tokens per second of decode.
    pub decode: TokensPerSecond,
}

/// A way to split the cost of an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// All of it on output tokens.
    OutputOnly,
    /// The same price for every token.
    TotalTokens,
    /// The whole hour on each side.
    FullLoadEachSide,
    /// By the time that each side takes, scaled by κ to add up.
    TimeShare(Phases),
    /// Output costs a fixed multiple of input.
    PriceRatio(f64),
}

/// Prices of the two sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Of a million input tokens.
    pub input: UsdPerMtok,
    /// Of a million output tokens.
    pub output: UsdPerMtok,
    /// Factor that makes a time share add up: below 1 the phases overlap, above 1 there is idle time.
    pub kappa: Option<f64>,
}

impl Method {
    /// Splits `cost` over the tokens of `mix`.
    ///
    /// 4 USD per hour at 2,500 input and 750 output tokens per second, where prefill alone reaches
    /// 8,000 and decode alone 1,100:
    /// ```
    /// use mtok::cost::allocation::{Method, Mix, Phases};
    /// use mtok::units::{TokensPerSecond, UsdPerHour};
    /// let rate = TokensPerSecond::new;
    /// let mix = Mix { input: rate(2_500.0), output: rate(750.0) };
    /// let phases = Phases { prefill: rate(8_000.0), decode: rate(1_100.0) };
    /// let split = Method::TimeShare(phases).split(UsdPerHour::new(4.0), mix);
    /// assert!((split.input.value() - 0.139_683).abs() < 1e-6);
    /// assert!((split.output.value() - 1.015_873).abs() < 1e-6);
    /// assert!((split.kappa.unwrap() - 1.005_714).abs() < 1e-6);
    /// ```
    pub fn split(self, cost: UsdPerHour, mix: Mix) -> Split {
        let (input, output, kappa) = match self {
            Self::OutputOnly => (UsdPerMtok::ZERO, cost / mix.output, None),
            Self::TotalTokens => {
                let each = cost / (mix.input + mix.output);
                (each, each, None)
            }
            Self::FullLoadEachSide => (cost / mix.input, cost / mix.output, None),
            Self::TimeShare(alone) => {
                let busy = mix.input / alone.prefill + mix.output / alone.decode;
                let kappa = 1.0 / busy;
                let (input, output) = (cost / alone.prefill, cost / alone.decode);
                (input * kappa, output * kappa, Some(kappa))
            }
            Self::PriceRatio(ratio) => {
                let input = cost / (mix.input + mix.output * ratio);
                (input, input * ratio, None)
            }
        };
        Split {
            input,
            output,
            kappa,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutputOnly => f.write_str("output only"),
            Self::TotalTokens => f.write_str("total tokens"),
            Self::FullLoadEachSide => f.write_str("full load on each side (bills twice)"),
            Self::TimeShare(_) => f.write_str("time share"),
            Self::PriceRatio(ratio) => write!(f, "price ratio {ratio}"),
        }
    }
}

impl Split {
    /// What an hour of `mix` brings at these prices.
    pub fn bill(&self, mix: Mix) -> UsdPerHour {
        let hour = crate::units::Hours::new(1.0);
        let seconds = hour.seconds();
        (self.input * (mix.input * seconds) + self.output * (mix.output * seconds)) / hour
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIX: Mix = Mix {
        input: TokensPerSecond::new(2_500.0),
        output: TokensPerSecond::new(750.0),
    };
    const PHASES: Phases = Phases {
        prefill: TokensPerSecond::new(8_000.0),
        decode: TokensPerSecond::new(1_100.0),
    };

    #[track_caller]
    fn splits(method: Method, input: f64, output: f64, bill: f64) {
        let split = method.split(UsdPerHour::new(4.0), MIX);
        assert!((split.input.value() - input).abs() < 5e-7, "{split:?}");
        assert!((split.output.value() - output).abs() < 5e-7, "{split:?}");
        assert!((split.bill(MIX).value() - bill).abs() < 1e-9, "{split:?}");
    }

    #[test]
    fn the_methods_give_the_worked_numbers() {
        splits(Method::OutputOnly, 0.0, 1.481_481, 4.0);
        splits(Method::TotalTokens, 0.341_880, 0.341_880, 4.0);
        splits(Method::FullLoadEachSide, 0.444_444, 1.481_481, 8.0);
        splits(Method::TimeShare(PHASES), 0.139_683, 1.015_873, 4.0);
        splits(
            Method::PriceRatio(USUAL_PRICE_RATIO),
            0.202_020,
            0.808_081,
            4.0,
        );
    }

    proptest! {
        #[test]
        fn all_methods_but_the_one_that_bills_twice_add_up(
            cost in 0.01_f64..100.0, input in 1.0_f64..1e6, output in 1.0_f64..1e5,
            prefill in 1.0_f64..1e6, decode in 1.0_f64..1e5, ratio in 0.1_f64..20.0,
        ) {
            let rate = TokensPerSecond::new;
            let mix = Mix { input: rate(input), output: rate(output) };
            let phases = Phases { prefill: rate(prefill), decode: rate(decode) };
            for method in [
                Method::OutputOnly, Method::TotalTokens, Method::FullLoadEachSide,
                Method::TimeShare(phases), Method::PriceRatio(ratio),
            ] {
                let times = if method == Method::FullLoadEachSide { 2.0 } else { 1.0 };
                let bill = method.split(UsdPerHour::new(cost), mix).bill(mix).value();
                prop_assert!((bill - times * cost).abs() < 1e-9 * cost, "{method}: {bill}");
            }
        }
    }
}
