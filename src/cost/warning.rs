//! What a reader should doubt about a comparison, each with a remedy.

use std::borrow::Cow;

use jiff::civil::Date;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::parameter::Range;

/// What should be doubted. Shares are of 1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Warning {
    /// It concerns an alternative or a what-if alone.
    #[error("`{name}`: {warning}")]
    Of {
        /// The name of the alternative.
        name: String,
        /// What should be doubted of it.
        warning: Box<Warning>,
    },
    /// A price was old on the scenario's own day.
    #[error("the price of `{name}` was read on {read}, {days} days before")]
    OldPrice {
        /// What is priced.
        name: String,
        /// When it was read.
        read: Date,
        /// Age in days.
        days: i32,
    },
    /// Embeddings are needed, and their price is unknown.
    #[error("{what} needs embeddings, and no model is named: their cost is left out")]
    NoEmbedding {
        /// What needs them.
        what: &'static str,
        /// The section that should name a model.
        section: &'static str,
    },
    /// A price list has a price of 0.
    #[error("the catalog prices `{model}` at nothing, in part or as a whole")]
    ZeroPrice {
        /// The model.
        model: String,
    },
    /// A model is sold no more.
    #[error("`{model}` has not been sold since {ends}")]
    DeprecatedModel {
        /// The model.
        model: String,
        /// Its last day.
        ends: Date,
    },
    /// The costed lengths are not the measured ones.
    #[error("the costed mix is {:.0} % away from the measured {isl}/{osl} tokens", .distance * 100.0)]
    MixDiffers {
        /// Relative difference of the lengths.
        distance: f64,
        /// Measured input length.
        isl: f64,
        /// Measured output length.
        osl: f64,
    },
    /// A measured point has no interval.
    #[error("the measured point rests on one observation and has no interval")]
    SingleRun,
    /// The study ran on other cards.
    #[error(
        "{study} was measured on {measured_gpus} x {measured_on}, and a replica here is {gpus} x {gpu}"
    )]
    MeasuredElsewhere {
        /// The study.
        study: String,
        /// Cards there.
        measured_gpus: u32,
        /// What kind of cards.
        measured_on: String,
        /// Cards here.
        gpus: u32,
        /// What kind of cards.
        gpu: String,
    },
    /// The study ran another model.
    #[error("{study} measured {measured}, not {model}")]
    AnotherModelMeasured {
        /// The study.
        study: String,
        /// The model there.
        measured: String,
        /// The model here.
        model: String,
    },
    /// The study has its times from a script.
    #[error("the times of {study} come from a script: nothing was measured")]
    SimulatedStudy {
        /// The study.
        study: String,
    },
    /// An alternative runs on something else with the throughput of the base case.
    #[error("`{name}` has the throughput of the base case, which another configuration reached")]
    InheritedThroughput {
        /// The name of the alternative.
        name: String,
    },
    /// The weights leave no room.
    #[error(
        "the weights take {weights_gib:.1} GiB and {gpus} x {gpu} leave {kv_gib:.1} GiB for the cache"
    )]
    DoesNotFit {
        /// Weights.
        weights_gib: f64,
        /// Cards of a replica.
        gpus: f64,
        /// What kind of cards.
        gpu: String,
        /// What is left for the cache.
        kv_gib: f64,
        /// The fewest of these cards that would do.
        fewest: Option<u32>,
    },
    /// The cache holds less than the batch.
    #[error("the cache surely holds {sequences} sequences, fewer than a batch of {batch}")]
    KvBelowBatch {
        /// Sequences that surely find room.
        sequences: f64,
        /// Sequences of a batch.
        batch: f64,
    },
    /// Replicas are planned too full.
    #[error("replicas are planned for {:.0} % load", .load * 100.0)]
    HighTargetLoad {
        /// Planned load.
        load: f64,
    },
    /// Nothing says how long prompts take.
    #[error("only an output rate is given, so reading the prompts costs nothing here")]
    PrefillIgnored,
    /// The rates of the phases do not fit the measured mix.
    #[error("prefill and decode rates explain {:.2} of the measured time", 1.0 / .kappa)]
    Kappa {
        /// Measured time over what the rates of the phases explain.
        kappa: f64,
    },
    /// A fleet of bought cards follows no load.
    #[error("bought cards cost the same whether they run or not; the fleet counts as static")]
    OwnedIsStatic,
    /// An autoscaled fleet has no hours to follow.
    #[error("an autoscaled fleet follows hours, and only the peak is given: it counts as static")]
    NoProfile,
    /// Nobody vouches for the quality.
    #[error("nobody has said whether the self-hosted model is good enough")]
    QualityUnknown,
    /// The last crossing was not found.
    #[error(
        "the fleet has too many sizes to follow to the last crossing; the permanent volume lies at or below the one stated"
    )]
    PermanentIsBound,
    /// One replica has no other beside it.
    #[error("one replica has nothing to fall back on")]
    SingleReplica,
    /// A limit on the input that nothing exceeds.
    #[error("a limit on the input does nothing to a mean below it")]
    LimitWithoutSpread,
    /// A limit on sessions where there are none.
    #[error("session_token_limit needs conversations")]
    LimitWithoutSession,
    /// Nobody has said how hosts differ.
    #[error("one host was measured; {} % variation between hosts is assumed", .cv * 100.0)]
    BetweenHostCvAssumed {
        /// The variation that is assumed.
        cv: f64,
    },
    /// A correlation with an input that is not drawn.
    #[error("`{key}` is correlated but not drawn, so the correlation does nothing")]
    CorrelationWithoutDraw {
        /// The input.
        key: String,
    },
    /// A distribution leaves the range of its input.
    #[error("some draws of `{key}` lie outside its range, {range}, and count as its end")]
    DrawsOutOfRange {
        /// The input.
        key: &'static str,
        /// Its range.
        range: Range,
    },
}

impl Warning {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Of { warning, .. } => warning.code(),
            Self::OldPrice { .. } => "old_price",
            Self::NoEmbedding { .. } => "no_embedding",
            Self::ZeroPrice { .. } => "zero_price",
            Self::DeprecatedModel { .. } => "deprecated_model",
            Self::MixDiffers { .. } => "mix_differs",
            Self::SingleRun => "single_run",
            Self::MeasuredElsewhere { .. } => "measured_elsewhere",
            Self::AnotherModelMeasured { .. } => "another_model_measured",
            Self::SimulatedStudy { .. } => "simulated_study",
            Self::InheritedThroughput { .. } => "inherited_throughput",
            Self::DoesNotFit { .. } => "does_not_fit",
            Self::KvBelowBatch { .. } => "kv_below_batch",
            Self::HighTargetLoad { .. } => "high_target_load",
            Self::PrefillIgnored => "prefill_ignored",
            Self::Kappa { .. } => "kappa",
            Self::OwnedIsStatic => "owned_is_static",
            Self::NoProfile => "no_profile",
            Self::QualityUnknown => "quality_unknown",
            Self::PermanentIsBound => "permanent_is_bound",
            Self::SingleReplica => "single_replica",
            Self::LimitWithoutSpread => "limit_without_spread",
            Self::LimitWithoutSession => "limit_without_session",
            Self::BetweenHostCvAssumed { .. } => "between_host_cv_assumed",
            Self::CorrelationWithoutDraw { .. } => "correlation_without_draw",
            Self::DrawsOutOfRange { .. } => "draws_out_of_range",
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Of { warning, .. } => return warning.remedy(),
            Self::NoEmbedding { section, .. } => {
                return Cow::Owned(format!("name one under {section}.embedding"));
            }
            Self::DoesNotFit {
                fewest: Some(gpus), ..
            } => {
                return Cow::Owned(format!(
                    "use {gpus} of these cards, or fewer bits per weight"
                ));
            }
            Self::DoesNotFit { fewest: None, .. } => "use larger cards or fewer bits per weight",
            Self::OldPrice { .. } => "import newer prices or state the price in the scenario",
            Self::ZeroPrice { .. } => "state its prices in the scenario, or choose another seller",
            Self::DeprecatedModel { .. } => "compare with a model that is still sold",
            Self::MixDiffers { .. } => "measure a point with the lengths of the workload",
            Self::SingleRun => "measure it again with more blocks",
            Self::MeasuredElsewhere { .. }
            | Self::AnotherModelMeasured { .. }
            | Self::SimulatedStudy { .. } => "measure the very machine and model that would serve",
            Self::InheritedThroughput { .. } => "measure it and state its own rates or results",
            Self::KvBelowBatch { .. } => {
                "lower batch_size, add cards, or hold keys and values in fewer bits"
            }
            Self::HighTargetLoad { .. } => {
                "queues grow without bound near 100 %; plan for 60 to 80 %"
            }
            Self::PrefillIgnored => {
                "give input_tokens_per_second as well, or prefill and decode rates"
            }
            Self::Kappa { .. } => {
                "measure prefill and decode at the batch size and lengths of the mix"
            }
            Self::OwnedIsStatic => "remove `fleet = \"autoscaled\"`",
            Self::NoProfile => "give traffic.hourly or a trace",
            Self::QualityUnknown => {
                "measure it and set decision.self_hosted_meets_quality or decision.quality"
            }
            Self::PermanentIsBound => {
                "none is needed: at such volumes both sides cost nearly the same"
            }
            Self::SingleReplica => "set redundant_replicas = 1, or say who serves while it is down",
            Self::LimitWithoutSpread => "give input_tokens_cv, over which it is integrated",
            Self::LimitWithoutSession => "describe them under [traffic.conversation]",
            Self::BetweenHostCvAssumed { .. } => {
                "measure several hosts and set uncertainty.between_host_cv"
            }
            Self::CorrelationWithoutDraw { .. } => "add it as an [[uncertainty.input]]",
            Self::DrawsOutOfRange { .. } => {
                "choose a distribution within that range, such as beta or triangular"
            }
        })
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Warning", 3)?;
        fields.serialize_field("code", self.code())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.serialize_field("remedy", &self.remedy())?;
        fields.end()
    }
}
