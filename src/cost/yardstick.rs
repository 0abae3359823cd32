//! What common claims about prompts, routing, prices and throughput come to in a scenario.

use serde::Serialize;

use super::bill::{ApiBill, ApiCase, Prices, share_needed};
use super::case::{Case, Evaluation};
use super::conversation::calls;
use super::price_row::number;
use super::resolve_host::HostFacts;
use super::roofline::Roofline;
use super::shared::index_usd;
use super::traffic::Demand;
use crate::catalog::book::PriceBook;

/// System prompts that are said to differ by a factor of two in cost.
const PROMPTS: [f64; 2] = [500.0, 4_000.0];
/// Hit rate of a warm prompt cache.
const WARM: f64 = 0.99;
/// Share of the requests that is said to be simple.
const SIMPLE_SHARE: f64 = 0.7;
/// The saving that is said to follow.
const CLAIMED_SAVING: f64 = 5.0;

/// Claims held against the numbers; null where the scenario says nothing of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Yardsticks {
    /// A long system prompt against a short one.
    pub long_prompt: Option<LongPrompt>,
    /// Cheaper models, and by how much.
    pub cheaper_models: Vec<CheaperModel>,
    /// A router to the cheapest of them.
    pub routing: Option<Routing>,
    /// Uncached input tokens per second that the stated output rate implies.
    pub implied_input_tokens_per_second: Option<f64>,
    /// Input tokens that no engine on these cards exceeds per second.
    pub roofline_input_tokens_per_second: Option<f64>,
    /// What the memory bandwidth of these cards allows where no batch size is stated.
    pub bandwidth: Option<Bandwidth>,
    /// What others rent the card out for.
    pub offers: Option<Offers>,
    /// Dollars to embed the whole index once.
    pub index_usd: Option<f64>,
}

/// The API bill with a system prompt of 4,000 tokens over that with 500.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LongPrompt {
    /// Tokens of the short one.
    pub short_tokens: f64,
    /// Tokens of the long one.
    pub long_tokens: f64,
    /// Without a prompt cache.
    pub ratio: f64,
    /// With 99 % of the long one read from the cache.
    pub cached_ratio: f64,
}

/// A model that serves the same tokens for less.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheaperModel {
    /// Its name.
    pub name: String,
    /// The bill of the main model over its own.
    pub times_cheaper: f64,
}

/// A router that sends simple requests to a cheaper model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Routing {
    /// Where to.
    pub model: String,
    /// Share of the requests.
    pub share: f64,
    /// The bill without it over the bill with it.
    pub saving: f64,
    /// The same with a model that costs nothing.
    pub most: f64,
    /// Share that a five-fold saving takes; null where none is enough.
    pub share_for_five: Option<f64>,
}

/// Decoding against the memory bandwidth of a replica's cards.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bandwidth {
    /// Output tokens per second that no engine exceeds with eight sequences.
    pub of_eight_tokens_per_second: f64,
    /// Fewest sequences decoded together that allow the stated rate.
    pub least_batch: f64,
}

/// Offers of a card by the hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Offers {
    /// How many.
    pub count: usize,
    /// The cheapest.
    pub low_usd_per_gpu_hour: f64,
    /// The dearest.
    pub high_usd_per_gpu_hour: f64,
}

impl Yardsticks {
    /// Holds the claims against a case; `others` are the cases of further comparators by name.
    pub(super) fn new(
        case: &Case,
        facts: Option<&HostFacts>,
        others: &[(&str, &Case)],
        book: &dyn PriceBook,
    ) -> Self {
        let evaluation = Evaluation::new(case);
        let models = cheaper_models(case, others);
        Self {
            long_prompt: long_prompt(case),
            routing: routing(&models),
            cheaper_models: models,
            implied_input_tokens_per_second: implied_input(&evaluation),
            roofline_input_tokens_per_second: facts
                .and_then(|facts| of_one(case, facts)?.prefill_tokens_per_second),
            bandwidth: facts.and_then(|facts| bandwidth(case, facts)),
            offers: facts.and_then(|facts| offers(book, &facts.gpu)),
            index_usd: case
                .demand
                .retrieval
                .as_ref()
                .map(|retrieval| index_usd(retrieval, case.shared.retrieval_embedding))
                .filter(|usd| *usd > 0.0),
        }
    }
}

/// Dollars for the tokens of a user request.
fn tokens_usd(api: &ApiCase, demand: &Demand, hours: f64) -> f64 {
    ApiBill::new(api, demand, &calls(demand), hours)
        .charge
        .usd()
}

fn long_prompt(case: &Case) -> Option<LongPrompt> {
    let api = case.api.as_ref()?;
    let usd = |system_tokens: f64, prefix_hit_rate: f64| {
        let demand = Demand {
            system_tokens,
            prefix_hit_rate,
            ..case.demand.clone()
        };
        tokens_usd(api, &demand, case.hours_per_month)
    };
    let [short, long] = PROMPTS;
    let least = usd(short, 0.0);
    (least > 0.0).then(|| LongPrompt {
        short_tokens: short,
        long_tokens: long,
        ratio: usd(long, 0.0) / least,
        cached_ratio: usd(long, WARM) / least,
    })
}

/// Routes and comparators that cost less than the main model alone, cheapest last.
fn cheaper_models(case: &Case, others: &[(&str, &Case)]) -> Vec<CheaperModel> {
    let Some(api) = &case.api else {
        return Vec::new();
    };
    let alone = |prices: &Prices| ApiCase {
        prices: prices.clone(),
        routes: Vec::new(),
        ..api.clone()
    };
    let usd = |api: &ApiCase| tokens_usd(api, &case.demand, case.hours_per_month);
    let main = usd(&alone(&api.prices));
    let routes = api
        .routes
        .iter()
        .map(|route| (route.prices.name.to_string(), usd(&alone(&route.prices))));
    let others = others
        .iter()
        .filter_map(|(name, other)| Some(((*name).to_owned(), usd(other.api.as_ref()?))));
    let mut models: Vec<CheaperModel> = routes
        .chain(others)
        .filter(|(_, usd)| *usd > 0.0 && *usd < main)
        .map(|(name, usd)| CheaperModel {
            name,
            times_cheaper: main / usd,
        })
        .collect();
    models.sort_by(|a, b| a.times_cheaper.total_cmp(&b.times_cheaper));
    models
}

fn routing(models: &[CheaperModel]) -> Option<Routing> {
    let cheapest = models.last()?;
    let saving = |times: f64| 1.0 / (1.0 - SIMPLE_SHARE * (1.0 - 1.0 / times));
    Some(Routing {
        model: cheapest.name.clone(),
        share: SIMPLE_SHARE,
        saving: saving(cheapest.times_cheaper),
        most: 1.0 / (1.0 - SIMPLE_SHARE),
        share_for_five: share_needed(CLAIMED_SAVING, cheapest.times_cheaper),
    })
}

fn implied_input(evaluation: &Evaluation<'_>) -> Option<f64> {
    let rates = evaluation.case.host.as_ref()?.rates;
    let alone = rates.input.is_none() && rates.prefill.is_none() && rates.goodput.is_none();
    let output = rates.output.filter(|_| alone)?;
    let work = &evaluation.work;
    (work.output_tokens > 0.0).then(|| output * work.uncached_tokens / work.output_tokens)
}

/// The roofline of the replica with one sequence.
fn of_one(case: &Case, facts: &HostFacts) -> Option<Roofline> {
    let (card, shape) = (facts.card.as_ref()?, facts.shape.as_ref()?);
    let gpus = case.host.as_ref()?.fleet.gpus_per_replica;
    Some(Roofline::new(card, gpus, (shape, facts.precision), 1.0))
}

fn bandwidth(case: &Case, facts: &HostFacts) -> Option<Bandwidth> {
    let host = case.host.as_ref()?;
    let rate = host.rates.decode.or(host.rates.output)?;
    let one = of_one(case, facts)?.decode_tokens_per_second;
    host.batch_size.is_none().then(|| Bandwidth {
        of_eight_tokens_per_second: 8.0 * one,
        least_batch: (rate / one).ceil(),
    })
}

fn offers(book: &dyn PriceBook, gpu: &str) -> Option<Offers> {
    let prices: Vec<f64> = book
        .rentals_of(gpu)
        .iter()
        .map(|rental| number(rental.usd_per_gpu_hour))
        .collect();
    Some(Offers {
        count: prices.len(),
        low_usd_per_gpu_hour: prices.iter().copied().reduce(f64::min)?,
        high_usd_per_gpu_hour: prices.iter().copied().reduce(f64::max)?,
    })
}
