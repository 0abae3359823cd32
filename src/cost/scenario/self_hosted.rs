//! `[self_hosted]`: the model, the cards, their rates and what people and power cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number;
use crate::study::model::Precision;

/// `[self_hosted]`, and `[[self_hosted.alternative]]` with the same keys and a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SelfHosted {
    /// The name of an alternative.
    pub name: Option<String>,
    /// A model card; left out, memory and roofline stay unknown.
    pub model: Option<String>,
    /// How weights are held; f16 when left out.
    pub precision: Option<Precision>,
    /// How keys and values are held, where no study of `results` says so.
    pub kv_precision: Precision,
    /// Sequences decoded together.
    pub batch_size: Option<f64>,
    /// Share of the memory that the engine may take.
    pub gpu_memory_utilization: f64,
    /// Memory that is neither weights nor cache.
    pub overhead_gib_per_gpu: f64,
    /// A card of the GPU catalog; a100-80gb-sxm when left out.
    pub gpu: Option<String>,
    /// Cards that hold one copy of the model; those of the study with `results`, else 2.
    #[serde(deserialize_with = "number::optional_u32")]
    pub gpus_per_replica: Option<u32>,
    /// Rate of one card; this, `rental` or `[self_hosted.owned]`.
    pub usd_per_gpu_hour: Option<f64>,
    /// An offer of the rental catalog.
    pub rental: Option<String>,
    /// Output rate of a replica.
    pub output_tokens_per_second: Option<f64>,
    /// Input rate of a replica, measured together with the output rate.
    pub input_tokens_per_second: Option<f64>,
    /// Prefill rate of a replica, measured alone.
    pub prefill_tokens_per_second: Option<f64>,
    /// Decode rate of a replica, measured alone.
    pub decode_tokens_per_second: Option<f64>,
    /// Goodput of a replica at the service-level objective.
    pub requests_per_second: Option<f64>,
    /// A study folder to take the rates from.
    pub results: Option<String>,
    /// What a measured point must meet.
    pub slo: Option<Slo>,
    /// Highest load a replica is planned for.
    pub target_load: f64,
    /// Replicas that stand by.
    #[serde(deserialize_with = "number::whole_u32")]
    pub redundant_replicas: u32,
    /// Fewest billed replicas, redundant ones included.
    #[serde(deserialize_with = "number::whole_u32")]
    pub min_replicas: u32,
    /// Cards that are billed together.
    #[serde(deserialize_with = "number::optional_u32")]
    pub billing_quantum_gpus: Option<u32>,
    /// Whether replicas follow the load.
    pub fleet: FleetMode,
    /// Time a new replica needs.
    pub cold_start_minutes: f64,
    /// Replicas reserved for all hours.
    #[serde(deserialize_with = "number::whole_u32")]
    pub reserved_base_replicas: u32,
    /// Their rate.
    pub reserved_usd_per_gpu_hour: f64,
    /// People.
    pub staff: Staff,
    /// Model updates.
    pub updates: Updates,
    /// Disks.
    pub storage_usd_per_month: f64,
    /// Traffic out.
    pub egress: Egress,
    /// Whatever else.
    pub fixed_usd_per_month: f64,
    /// Paid once.
    pub one_off_usd: f64,
    /// Months over which it is spread.
    pub amortization_months: f64,
    /// Months one is bound.
    pub commitment_months: f64,
    /// Interruptible cards.
    pub spot: Spot,
    /// Bought cards.
    pub owned: Option<Owned>,
    /// Side by side.
    pub alternative: Vec<SelfHosted>,
}

impl Default for SelfHosted {
    fn default() -> Self {
        Self {
            name: None,
            model: None,
            precision: None,
            kv_precision: Precision::F16,
            batch_size: None,
            gpu_memory_utilization: 0.90,
            overhead_gib_per_gpu: 1.5,
            gpu: None,
            gpus_per_replica: None,
            usd_per_gpu_hour: None,
            rental: None,
            output_tokens_per_second: None,
            input_tokens_per_second: None,
            prefill_tokens_per_second: None,
            decode_tokens_per_second: None,
            requests_per_second: None,
            results: None,
            slo: None,
            target_load: 0.7,
            redundant_replicas: 0,
            min_replicas: 1,
            billing_quantum_gpus: None,
            fleet: FleetMode::Static,
            cold_start_minutes: 0.0,
            reserved_base_replicas: 0,
            reserved_usd_per_gpu_hour: 0.0,
            staff: Staff::default(),
            updates: Updates::default(),
            storage_usd_per_month: 0.0,
            egress: Egress::default(),
            fixed_usd_per_month: 0.0,
            one_off_usd: 0.0,
            amortization_months: 36.0,
            commitment_months: 0.0,
            spot: Spot::default(),
            owned: None,
            alternative: Vec::new(),
        }
    }
}

/// The card that stands where none is named.
pub(crate) const DEFAULT_GPU: &str = "a100-80gb-sxm";

/// The cards of a replica where neither the scenario nor a study says.
pub(crate) const DEFAULT_GPUS_PER_REPLICA: u32 = 2;

/// Whether replicas follow the load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FleetMode {
    /// The busiest hour sizes every hour.
    #[default]
    Static,
    /// Each hour has its own size.
    Autoscaled,
}

/// `slo`: what a measured point must meet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Slo {
    /// Longest time to first token.
    pub ttft_ms: Option<f64>,
    /// Longest time per output token.
    pub tpot_ms: Option<f64>,
}

/// `staff`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Staff {
    /// Full-time equivalents.
    pub fte: f64,
    /// Loaded cost of one.
    pub usd_per_year: f64,
}

impl Default for Staff {
    fn default() -> Self {
        Self {
            fte: 0.0,
            usd_per_year: 200_000.0,
        }
    }
}

/// `updates`: what it takes to move to a newer model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Updates {
    /// Updates per year.
    pub per_year: f64,
    /// Engineer days of each.
    pub engineer_days: f64,
    /// Hours in which the old and the new fleet run side by side.
    pub parallel_hours: f64,
}

/// `egress`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Bytes on the wire per streamed token.
    pub bytes_per_output_token: f64,
    /// Price.
    pub usd_per_gb: f64,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            bytes_per_output_token: 250.0,
            usd_per_gb: 0.0,
        }
    }
}

/// `[self_hosted.spot]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Spot {
    /// Share of the cards that are interruptible.
    pub share: f64,
    /// Their rate.
    pub usd_per_gpu_hour: f64,
    /// Share of their work that interruptions destroy.
    pub lost_work: f64,
    /// Share of the time in which an ordinary card stands in.
    pub fallback: f64,
}

/// `[self_hosted.owned]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Owned {
    /// Price of one machine.
    pub purchase_usd: f64,
    /// Tax and set-up on top, as a share.
    pub tax_and_setup: f64,
    /// Cards in the machine.
    #[serde(deserialize_with = "number::whole_u32")]
    pub gpus: u32,
    /// Years of use.
    pub years: f64,
    /// What it sells for afterwards, as a share.
    pub resale: f64,
    /// Interest per year.
    pub cost_of_capital: f64,
    /// Power of the machine.
    pub kw: f64,
    /// Power of the building over power of the machine.
    pub pue: f64,
    /// Price of energy; this or colocation.
    pub usd_per_kwh: Option<f64>,
    /// All-in price of colocation.
    pub colocation_usd_per_kw_month: Option<f64>,
    /// Maintenance per year, as a share.
    pub maintenance_per_year: f64,
}

impl Default for Owned {
    fn default() -> Self {
        Self {
            purchase_usd: 300_000.0,
            tax_and_setup: 0.12,
            gpus: 8,
            years: 4.0,
            resale: 0.20,
            cost_of_capital: 0.10,
            kw: 10.2,
            pue: 1.3,
            usd_per_kwh: None,
            colocation_usd_per_kw_month: None,
            maintenance_per_year: 0.05,
        }
    }
}

/// The price of energy where none is named, USD per kWh: the default of the scenario format.
pub(crate) const DEFAULT_USD_PER_KWH: f64 = 0.10;
