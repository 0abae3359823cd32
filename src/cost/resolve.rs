//! From a scenario as written to plain numbers: names are looked up, rates are taken from studies,
//! and what no card can do is refused.

use jiff::civil::Date;

use super::bill::{ApiCase, BatchRates, Prices, RouteCase, TokenRates};
use super::case::Case;
use super::measured::Measured;
use super::price_row::{number, of_row};
use super::resolve_host::HostFacts;
use super::scenario::api::Inline;
use super::scenario::parse::Refusal;
use super::scenario::{Api, Document, MeetsQuality, Policy, Scenario, ScenarioError};
use super::shared::SharedCase;
use super::trace::Trace;
use super::traffic::Demand;
use super::warning::Warning;
use crate::catalog::book::{ApiPrice, PriceBook, Provenance};
use crate::study::model::ModelCard;

/// Days after which a price is old.
const OLD_AFTER_DAYS: i32 = 90;

/// Who knows what a scenario only names: the files it points to and the model cards.
pub trait Evidence {
    /// A model card by its name.
    fn card(&self, name: &str) -> Result<ModelCard, String>;
    /// A study folder.
    fn measured(&self, path: &str) -> Result<Measured, String>;
    /// A file of arrivals.
    fn trace(&self, path: &str) -> Result<Trace, String>;
    /// Whether a study finds the self-hosted model good enough.
    fn quality(&self, path: &str) -> Result<MeetsQuality, String>;
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
    let mut desk = Desk {
        sources,
        as_of: scenario.as_of,
        used: Vec::new(),
        warnings: Vec::new(),
    };
    let shared = desk.shared(scenario)?;
    let api = match &scenario.api {
        Some(section) => Some(
            desk.api("api", section, &demand)?
                .with_summary(&mut desk, &demand)?,
        ),
        None => None,
    };
    let quality = match &scenario.decision.quality {
        Some(path) => sources
            .evidence
            .quality(path)
            .map_err(|problem| Refusal::new("decision.quality", problem))?,
        None => scenario.decision.self_hosted_meets_quality,
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
    Ok(Resolved {
        case,
        used: desk.used,
        warnings: desk.warnings,
        host,
        quality,
    })
}

/// One further comparator of `[[api.alternative]]`, with what it used.
pub(crate) fn resolve_alternative(
    index: usize,
    section: &Api,
    scenario: &Scenario,
    base: (&Case, Sources<'_>),
) -> Result<ApiCase, Refusal> {
    let (case, sources) = base;
    let mut desk = Desk {
        sources,
        as_of: scenario.as_of,
        used: Vec::new(),
        warnings: Vec::new(),
    };
    let prefix = format!("api.alternative.{index}");
    desk.api(&prefix, section, &case.demand)?
        .with_summary(&mut desk, &case.demand)
}

/// Looks things up and notes what it used.
pub(super) struct Desk<'a> {
    pub(super) sources: Sources<'a>,
    as_of: Option<Date>,
    pub(super) used: Vec<Used>,
    pub(super) warnings: Vec<Warning>,
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
        let Some(as_of) = self.as_of else { return };
        let age = (as_of - from.as_of).get_days();
        let told = self
            .warnings
            .iter()
            .any(|warning| warning.code == "old_price" && warning.message.contains(name));
        if age > OLD_AFTER_DAYS && !told {
            self.warnings.push(Warning::new(
                "old_price",
                format!(
                    "the price of `{name}` was read on {}, {age} days before",
                    from.as_of
                ),
                "import newer prices or state the price in the scenario",
            ));
        }
    }

    fn shared(&mut self, scenario: &Scenario) -> Result<SharedCase, Refusal> {
        let cache = &scenario.traffic.cache;
        let cache_embedding =
            self.embedding("traffic.cache.embedding", cache.embedding.as_deref())?;
        if cache.semantic_hit_rate > 0.0 && cache_embedding.is_none() {
            self.warnings
                .push(no_embedding("the semantic cache", "traffic.cache"));
        }
        let retrieval = scenario.traffic.retrieval.as_ref();
        let retrieval_embedding = self.embedding(
            "traffic.retrieval.embedding",
            retrieval.and_then(|section| section.embedding.as_deref()),
        )?;
        if retrieval.is_some() && retrieval_embedding.is_none() {
            self.warnings
                .push(no_embedding("retrieval", "traffic.retrieval"));
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

    fn api(&mut self, prefix: &str, section: &Api, demand: &Demand) -> Result<ApiCase, Refusal> {
        let prices = self.prices(prefix, &section.inline(), demand)?;
        let mut routes = Vec::new();
        for (index, route) in section.route.iter().enumerate() {
            let prefix = format!("{prefix}.route.{index}");
            let share = match route.policy {
                Policy::Share => route.share,
                Policy::Cascade => route.escalation,
            };
            routes.push(RouteCase {
                policy: route.policy,
                share: share.unwrap_or(0.0),
                prices: self.prices(&prefix, &route.inline(), demand)?,
            });
        }
        Ok(ApiCase {
            prices,
            routes,
            summary: None,
            price_factor: 1.0,
            discount: section.discount,
            fixed_usd_per_month: section.fixed_usd_per_month,
            router_usd_per_request: section.router_usd_per_request,
            tokenizer_ratio: section.self_hosted_tokenizer_ratio,
        })
    }

    fn prices(
        &mut self,
        prefix: &str,
        inline: &Inline<'_>,
        demand: &Demand,
    ) -> Result<Prices, Refusal> {
        let Some(model) = inline.model else {
            return self.inline_prices(prefix, inline);
        };
        let key = format!("{prefix}.model");
        let row = self
            .sources
            .book
            .api(model)
            .map_err(|missing| Refusal::new(&key, missing.to_string()))?;
        let input = number(row.prices.input_usd_per_mtok);
        let output = number(row.prices.output_usd_per_mtok);
        let at = |part: &str| format!("{prefix}.{part}");
        self.note(
            &at("input_usd_per_mtok"),
            model,
            (input, "USD/Mtok"),
            &row.provenance,
        );
        self.note(
            &at("output_usd_per_mtok"),
            model,
            (output, "USD/Mtok"),
            &row.provenance,
        );
        self.doubts(&row);
        Ok(of_row(&row, demand))
    }

    fn doubts(&mut self, row: &ApiPrice) {
        if row.prices.input_usd_per_mtok.is_zero() && row.prices.output_usd_per_mtok.is_zero() {
            self.warnings.push(Warning::new(
                "zero_price",
                format!("the catalog prices `{}` at nothing", row.id),
                "state its prices in the scenario, or choose another seller",
            ));
        }
        if let (Some(as_of), Some(ends)) = (self.as_of, row.deprecated)
            && ends < as_of
        {
            self.warnings.push(Warning::new(
                "deprecated_model",
                format!("`{}` has not been sold since {ends}", row.id),
                "compare with a model that is still sold",
            ));
        }
    }

    /// Prices in the scenario itself: their source is the scenario, their date its own.
    fn inline_prices(&mut self, prefix: &str, inline: &Inline<'_>) -> Result<Prices, Refusal> {
        let (Some(input), Some(output)) = (inline.input, inline.output) else {
            let problem =
                "a price is missing; give `model`, or input_usd_per_mtok and output_usd_per_mtok";
            return Err(Refusal::new(prefix, problem));
        };
        for (part, value) in [
            ("input_usd_per_mtok", input),
            ("output_usd_per_mtok", output),
        ] {
            self.used.push(Used {
                key: format!("{prefix}.{part}"),
                name: "inline".to_owned(),
                value,
                unit: "USD/Mtok",
                source: inline.source.unwrap_or("scenario").to_owned(),
                date: inline.as_of.or(self.as_of),
                measured: false,
            });
        }
        let ratio = |batch: f64, live: f64| if live > 0.0 { batch / live } else { 0.0 };
        let batch = match (inline.batch_input, inline.batch_output) {
            (None, None) => None,
            (batch_input, batch_output) => Some(BatchRates {
                input: batch_input.map_or(1.0, |batch| ratio(batch, input)),
                output: batch_output.map_or(1.0, |batch| ratio(batch, output)),
                cached: None,
            }),
        };
        Ok(Prices {
            name: "inline prices".into(),
            rates: TokenRates {
                input,
                output,
                cached: inline.cached,
                write: inline.write,
            },
            cache_min_tokens: inline.cache_min.unwrap_or(0.0),
            cache_storage: inline.storage,
            batch,
            tiers: Vec::new(),
            off_peak: None,
        })
    }
}

impl ApiCase {
    /// Adds the model that summarizes conversations, if another one does.
    fn with_summary(mut self, desk: &mut Desk<'_>, demand: &Demand) -> Result<Self, Refusal> {
        let model = demand
            .conversation
            .as_ref()
            .and_then(|talk| talk.summary_model.as_deref());
        if let Some(model) = model {
            let key = "traffic.conversation.summary_model";
            let row = desk
                .sources
                .book
                .api(model)
                .map_err(|missing| Refusal::new(key, missing.to_string()))?;
            let input = number(row.prices.input_usd_per_mtok);
            desk.note(key, model, (input, "USD/Mtok"), &row.provenance);
            self.summary = Some(of_row(&row, demand));
        }
        Ok(self)
    }
}

fn no_embedding(what: &str, section: &str) -> Warning {
    Warning::new(
        "no_embedding",
        format!("{what} needs embeddings, and no model is named: their cost is left out"),
        format!("name one under {section}.embedding"),
    )
}
