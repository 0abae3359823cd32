//! From a scenario as written to plain numbers: names are looked up, rates are taken from studies,
//! and what no card can do is refused.

use jiff::civil::Date;

use super::case::Case;
use super::measured::Measured;
use super::price_row::number;
use super::resolve_host::HostFacts;
use super::scenario::parse::Refusal;
use super::scenario::{Document, MeetsQuality, Scenario, ScenarioError};
use super::shared::SharedCase;
use super::trace::Trace;
use super::traffic::Demand;
use super::warning::Warning;
use crate::catalog::age::{STALE_AFTER_DAYS, age_days};
use crate::catalog::book::{PriceBook, Provenance};
use crate::study::model::ModelCard;
use crate::study::variant::Variant;

/// Who knows what a scenario only names: the files it points to and the model cards.
pub trait Evidence {
    /// A model card by its name.
    fn card(&self, name: &str) -> Result<ModelCard, String>;
    /// A study folder.
    fn measured(&self, path: &str) -> Result<Measured, String>;
    /// A file of arrivals.
    fn trace(&self, path: &str) -> Result<Trace, String>;
    /// Whether a study finds the self-hosted model good enough at a precision.
    fn quality(&self, path: &str, variant: Variant) -> Result<MeetsQuality, String>;
}

/// Everything outside the scenario.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Prices and cards.
    pub book: &'a dyn PriceBook,
    /// Files and model cards.
    pub evidence: &'a dyn Evidence,
}

/// A price that was used, for the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Used {
    /// The key that named it.
    pub key: String,
    /// What was named.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Where it was read.
    pub source: String,
    /// When.
    pub date: Option<Date>,
    /// Whether it was measured.
    pub measured: bool,
}

/// A scenario with every name resolved.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The numbers.
    pub case: Case,
    /// What was looked up.
    pub used: Vec<Used>,
    /// What should be doubted.
    pub warnings: Vec<Warning>,
    /// The self-hosted side's model, card and study.
    pub host: Option<HostFacts>,
    /// Whether the self-hosted model is good enough.
    pub quality: MeetsQuality,
}

impl Resolved {
    /// Takes over what an alternative used and what should be doubted of it alone.
    pub(super) fn adopt(&mut self, name: &str, warnings: Vec<Warning>, used: Vec<Used>) {
        self.used.extend(used);
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                let (name, warning) = (name.to_owned(), Box::new(warning));
                self.warnings.push(Warning::Of { name, warning });
            }
        }
    }
}

/// Works a document into numbers.
pub fn resolve(document: &Document, sources: Sources<'_>) -> Result<Resolved, ScenarioError> {
    resolve_scenario(&document.scenario, sources).map_err(|refusal| document.place(refusal))
}

/// Works a scenario into numbers.
pub(crate) fn resolve_scenario(
    scenario: &Scenario,
    sources: Sources<'_>,
) -> Result<Resolved, Refusal> {
    let trace = match &scenario.traffic.trace {
        Some(path) => Some(
            sources
                .evidence
                .trace(path)
                .map_err(|problem| Refusal::new("traffic.trace", problem))?,
        ),
        None => None,
    };
    let mut demand = Demand::new(&scenario.traffic, trace.as_ref());
    if let Some(trace) = &trace
        && scenario.traffic.burst.window_seconds > 0.0
    {
        demand.burst.cv = trace.interarrival_cv;
    }
    let mut desk = Desk::new(sources, scenario.as_of);
    let shared = desk.shared(scenario)?;
    let api = match &scenario.api {
        Some(section) => Some(
            desk.api("api", section, &demand)?
                .with_summary(&mut desk, &demand)?,
        ),
        None => None,
    };
    let mut case = Case {
        hours_per_month: scenario.calendar.hours_per_month,
        demand,
        shared,
        api,
        host: None,
    };
    let host = match &scenario.self_hosted {
        Some(section) => {
            let (host, facts) = desk.host(section, &case)?;
            case.host = Some(host);
            Some(facts)
        }
        None => None,
    };
    let quality = match (&scenario.decision.quality, &host) {
        (Some(path), Some(host)) => sources
            .evidence
            .quality(path, host.variant())
            .map_err(|problem| Refusal::new("decision.quality", problem))?,
        (_, None) | (None, _) => scenario.decision.self_hosted_meets_quality,
    };
    Ok(Resolved {
        case,
        used: desk.used,
        warnings: desk.warnings,
        host,
        quality,
    })
}

/// Looks things up and notes what it used.
pub(super) struct Desk<'a> {
    pub(super) sources: Sources<'a>,
    pub(super) as_of: Option<Date>,
    pub(super) used: Vec<Used>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(sources: Sources<'a>, as_of: Option<Date>) -> Self {
        Self {
            sources,
            as_of,
            used: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Desk<'_> {
    /// Notes a price from a catalog and warns when it is old.
    pub(super) fn note(
        &mut self,
        key: &str,
        name: &str,
        value: (f64, &'static str),
        from: &Provenance,
    ) {
        self.used.push(Used {
            key: key.to_owned(),
            name: name.to_owned(),
            value: value.0,
            unit: value.1,
            source: from.source.clone(),
            date: Some(from.as_of),
            measured: false,
        });
        self.age(name, from.as_of);
    }

    /// Warns of a price that was old on the scenario's own day, once for each name.
    pub(super) fn age(&mut self, name: &str, read: Date) {
        let Some(as_of) = self.as_of else { return };
        let days = age_days(read, as_of);
        let told = self
            .warnings
            .iter()
            .any(|warning| matches!(warning, Warning::OldPrice { name: told, .. } if told == name));
        if days > STALE_AFTER_DAYS && !told {
            let name = name.to_owned();
            self.warnings.push(Warning::OldPrice { name, read, days });
        }
    }

    fn shared(&mut self, scenario: &Scenario) -> Result<SharedCase, Refusal> {
        let cache = &scenario.traffic.cache;
        let cache_embedding =
            self.embedding("traffic.cache.embedding", cache.embedding.as_deref())?;
        if cache.semantic_hit_rate > 0.0 && cache_embedding.is_none() {
            self.warnings.push(Warning::NoEmbedding {
                what: "the semantic cache",
                section: "traffic.cache",
            });
        }
        let retrieval = scenario.traffic.retrieval.as_ref();
        let retrieval_embedding = self.embedding(
            "traffic.retrieval.embedding",
            retrieval.and_then(|section| section.embedding.as_deref()),
        )?;
        if retrieval.is_some() && retrieval_embedding.is_none() {
            self.warnings.push(Warning::NoEmbedding {
                what: "retrieval",
                section: "traffic.retrieval",
            });
        }
        Ok(SharedCase {
            cache_embedding,
            retrieval_embedding,
        })
    }

    fn embedding(&mut self, key: &str, name: Option<&str>) -> Result<Option<f64>, Refusal> {
        let Some(name) = name else { return Ok(None) };
        let row = self
            .sources
            .book
            .embedding(name)
            .map_err(|missing| Refusal::new(key, missing.to_string()))?;
        let price = number(row.input_usd_per_mtok);
        self.note(key, name, (price, "USD/Mtok"), &row.provenance);
        Ok(Some(price))
    }
}
