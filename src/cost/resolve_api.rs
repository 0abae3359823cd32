//! The token-priced side in numbers: prices of the catalog or of the scenario itself, routes, and
//! who summarizes.

use super::bill::{ApiCase, BatchRates, Prices, RouteCase, TokenRates};
use super::case::Case;
use super::price_row::{number, of_row};
use super::resolve::{Desk, Sources, Used};
use super::scenario::api::Inline;
use super::scenario::parse::Refusal;
use super::scenario::{Api, Policy, Scenario};
use super::traffic::Demand;
use super::warning::Warning;
use crate::catalog::book::ApiPrice;

/// One further comparator of `[[api.alternative]]`, with the desk that noted what it used.
pub(super) fn resolve_alternative<'a>(
    index: usize,
    section: &Api,
    scenario: &Scenario,
    base: (&Case, Sources<'a>),
) -> Result<(ApiCase, Desk<'a>), Refusal> {
    let (case, sources) = base;
    let mut desk = Desk::new(sources, scenario.as_of);
    let prefix = format!("api.alternative.{index}");
    let api = desk
        .api(&prefix, section, &case.demand)?
        .with_summary(&mut desk, &case.demand)?;
    Ok((api, desk))
}

impl Desk<'_> {
    pub(super) fn api(
        &mut self,
        prefix: &str,
        section: &Api,
        demand: &Demand,
    ) -> Result<ApiCase, Refusal> {
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
            return self.inline_prices(prefix, inline, demand);
        };
        let key = format!("{prefix}.model");
        let row = self
            .sources
            .book
            .api(model)
            .map_err(|missing| Refusal::new(&key, missing.to_string()))?;
        let caching = demand.prefix_hit_rate > 0.0;
        let prices = &row.prices;
        for (part, price) in [
            ("input_usd_per_mtok", Some(prices.input_usd_per_mtok)),
            ("output_usd_per_mtok", Some(prices.output_usd_per_mtok)),
            (
                "cached_input_usd_per_mtok",
                prices.cached_input_usd_per_mtok.filter(|_| caching),
            ),
            (
                "cache_write_usd_per_mtok",
                prices.cache_write_usd_per_mtok.filter(|_| caching),
            ),
        ] {
            if let Some(price) = price {
                let value = (number(price), "USD/Mtok");
                self.note(&format!("{prefix}.{part}"), model, value, &row.provenance);
            }
        }
        self.doubts(&row);
        Ok(of_row(&row, demand))
    }

    fn doubts(&mut self, row: &ApiPrice) {
        let sides = [
            row.prices.input_usd_per_mtok,
            row.prices.output_usd_per_mtok,
        ];
        if sides.iter().any(rust_decimal::Decimal::is_zero) {
            self.warnings.push(Warning::ZeroPrice {
                model: row.id.clone(),
            });
        }
        if let (Some(as_of), Some(ends)) = (self.as_of, row.deprecated)
            && ends < as_of
        {
            self.warnings.push(Warning::DeprecatedModel {
                model: row.id.clone(),
                ends,
            });
        }
    }

    /// Prices in the scenario itself: their source is the scenario, their date its own.
    fn inline_prices(
        &mut self,
        prefix: &str,
        inline: &Inline<'_>,
        demand: &Demand,
    ) -> Result<Prices, Refusal> {
        let (Some(input), Some(output)) = (inline.input, inline.output) else {
            let problem =
                "a price is missing; give `model`, or input_usd_per_mtok and output_usd_per_mtok";
            return Err(Refusal::new(prefix, problem));
        };
        let date = inline.as_of.or(self.as_of);
        for (part, value) in [
            ("input_usd_per_mtok", Some(input)),
            ("output_usd_per_mtok", Some(output)),
            ("cached_input_usd_per_mtok", inline.cached),
            ("cache_write_usd_per_mtok", inline.write),
            ("cache_storage_usd_per_mtok_hour", inline.storage),
            ("batch_input_usd_per_mtok", inline.batch_input),
            ("batch_output_usd_per_mtok", inline.batch_output),
        ] {
            self.used.extend(value.map(|value| Used {
                key: format!("{prefix}.{part}"),
                name: "inline".to_owned(),
                value,
                unit: if part.ends_with("hour") {
                    "USD/Mtok-h"
                } else {
                    "USD/Mtok"
                },
                source: inline.source.unwrap_or("scenario").to_owned(),
                date,
                measured: false,
            }));
        }
        if let Some(date) = inline.as_of {
            self.age(prefix, date);
        }
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
            batch: inline_batch(inline, [input, output], demand),
            tiers: Vec::new(),
            off_peak: None,
        })
    }
}

/// Stated batch prices over the live ones; a side without one has the discount of the workload.
fn inline_batch(inline: &Inline<'_>, live: [f64; 2], demand: &Demand) -> Option<BatchRates> {
    let stated = [inline.batch_input, inline.batch_output];
    if stated.iter().all(Option::is_none) {
        return None;
    }
    let ratio = |side: usize| match stated[side] {
        Some(batch) if live[side] > 0.0 => batch / live[side],
        Some(_) | None => demand.batch.multiplier,
    };
    Some(BatchRates {
        input: ratio(0),
        output: ratio(1),
        cached: None,
    })
}

impl ApiCase {
    /// Adds the model that summarizes conversations, if another one does.
    pub(super) fn with_summary(
        mut self,
        desk: &mut Desk<'_>,
        demand: &Demand,
    ) -> Result<Self, Refusal> {
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
