//! `scenario.toml`: the workload, the API, the fleet and what is unsure, as written.
//!
//! Reading is in [`parse`], what may stand in a key in `check`, edits of the tree (what-ifs and
//! alternatives) in `edit`. The guide that comes with the format names every key.

pub(crate) mod api;
mod check;
mod check_host;
mod check_traffic;
pub mod edit;
mod number;
pub mod parse;
pub(crate) mod self_hosted;
pub(crate) mod traffic;
pub(crate) mod unsure;

pub use api::{Api, Policy, Route};
pub use parse::{Document, ScenarioError};
pub use self_hosted::{FleetMode, Owned, SelfHosted};
pub use traffic::{Conversation, HistoryPolicy, OnLimit, Retrieval, Traffic};
pub use unsure::{CommittedFleet, Correlation, DistributionKind, UncertainInput, Uncertainty};

use std::collections::BTreeMap;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A break-even scenario as written, defaults filled in where the format names them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Prices are aged against this date, never against the clock.
    #[serde(default, deserialize_with = "number::date")]
    #[schemars(with = "Option<String>")]
    pub as_of: Option<Date>,
    /// One calendar for both sides.
    #[serde(default)]
    pub calendar: Calendar,
    /// Volume and tokens.
    pub traffic: Traffic,
    /// The token-priced side.
    #[serde(default)]
    pub api: Option<Api>,
    /// The self-hosted side.
    #[serde(default)]
    pub self_hosted: Option<SelfHosted>,
    /// The levers, one row each in the report.
    #[serde(default)]
    pub what_if: Vec<WhatIf>,
    /// What the decision must respect.
    #[serde(default)]
    pub decision: Decision,
    /// How far the cash view looks.
    #[serde(default)]
    pub horizon: Horizon,
    /// Alerts and charge-back.
    #[serde(default)]
    pub budget: Budget,
    /// What is drawn.
    #[serde(default)]
    pub uncertainty: Uncertainty,
}

/// The JSON Schema of a scenario.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Scenario)
}

/// `[calendar]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Calendar {
    /// Hours per month of both sides; days are hours / 24.
    pub hours_per_month: f64,
}

impl Default for Calendar {
    fn default() -> Self {
        Self {
            hours_per_month: 730.0,
        }
    }
}

/// `[[what_if]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatIf {
    /// Its name in the report.
    pub name: String,
    /// Dotted keys and the values they take.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub set: BTreeMap<String, toml::Value>,
}

/// Whether the self-hosted model is good enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeetsQuality {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// Nobody has looked.
    #[default]
    Unknown,
}

/// `[decision]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Decision {
    /// Self-hosting is priced but never recommended.
    pub needs_frontier_model: bool,
    /// Whether the self-hosted model is good enough.
    pub self_hosted_meets_quality: MeetsQuality,
    /// A study folder whose quality part answers that question.
    pub quality: Option<String>,
    /// Below it the verdict says "too close to call".
    pub minimum_probability: f64,
}

impl Default for Decision {
    fn default() -> Self {
        Self {
            needs_frontier_model: false,
            self_hosted_meets_quality: MeetsQuality::Unknown,
            quality: None,
            minimum_probability: 0.8,
        }
    }
}

/// `[horizon]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Horizon {
    /// Months that the cash view covers.
    #[serde(deserialize_with = "number::whole_u32")]
    pub months: u32,
    /// Discount rate.
    pub discount_rate_per_year: f64,
    /// Trend of API prices; −0.5 halves them every year.
    pub api_price_change_per_year: f64,
    /// Trend of GPU prices outside a commitment.
    pub gpu_price_change_per_year: f64,
}

impl Default for Horizon {
    fn default() -> Self {
        Self {
            months: 36,
            discount_rate_per_year: 0.0,
            api_price_change_per_year: 0.0,
            gpu_price_change_per_year: 0.0,
        }
    }
}

/// A side of the comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The token-priced API.
    #[default]
    Api,
    /// One's own or rented GPUs.
    SelfHosted,
}

/// `[budget]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Budget for the bill of the side in use; 0 is off.
    pub alert_usd_per_month: f64,
    /// The side in use.
    pub in_use: Side,
    /// Shares of the budget at which to warn.
    pub alert_at: Vec<f64>,
    /// Budget of one conversation; 0 is off.
    pub alert_usd_per_session: f64,
    /// Who pays which share.
    pub cost_center: Vec<CostCenter>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            alert_usd_per_month: 0.0,
            in_use: Side::Api,
            alert_at: vec![0.5, 0.8, 1.0],
            alert_usd_per_session: 0.0,
            cost_center: Vec::new(),
        }
    }
}

/// `[[budget.cost_center]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CostCenter {
    /// Who.
    pub name: String,
    /// Share of the requests.
    pub share: f64,
}
