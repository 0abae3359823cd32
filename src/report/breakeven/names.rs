//! Plain names of the inputs that can be turned, and of the sides and things in a report.

use crate::cost::answer::{Answer, Cheaper};
use crate::cost::sensitivity::Lever;
use crate::report::number::ABSENT;

/// Names of the inputs by their key.
const NAMES: [(&str, &str); 45] = [
    ("calendar.hours_per_month", "hours of a month"),
    ("traffic.requests_per_day", "requests a day"),
    ("traffic.requests_per_month", "requests a month"),
    ("traffic.peak_to_average", "peak over average load"),
    ("traffic.system_tokens", "system prompt"),
    ("traffic.history_tokens", "history in the prompt"),
    ("traffic.user_tokens", "user's message"),
    ("traffic.output_tokens", "answer"),
    ("traffic.tool_tokens", "tools in the prompt"),
    ("traffic.input_tokens_cv", "spread of input lengths"),
    ("traffic.retries", "billed retries"),
    ("traffic.output_retries", "billed retries of answers"),
    ("traffic.burst.cv", "burstiness of arrivals"),
    ("traffic.batch.share", "work that can wait for a batch"),
    (
        "traffic.cache.semantic_hit_rate",
        "requests answered by the semantic cache",
    ),
    (
        "traffic.cache.prefix_hit_rate",
        "prompts found in the prompt cache",
    ),
    ("traffic.conversation.turns", "length of a conversation"),
    (
        "traffic.conversation.user_tokens",
        "user's message in a conversation",
    ),
    (
        "traffic.conversation.answer_tokens",
        "answer in a conversation",
    ),
    ("traffic.retrieval.chunks", "retrieved chunks"),
    ("traffic.retrieval.tokens_per_chunk", "length of a chunk"),
    ("api.price_factor", "all token prices of the API"),
    ("api.input_usd_per_mtok", "API price of input"),
    ("api.output_usd_per_mtok", "API price of output"),
    ("api.cached_input_usd_per_mtok", "API price of cached input"),
    ("api.cache_write_usd_per_mtok", "API price of cache writes"),
    ("api.discount", "negotiated API discount"),
    ("api.fixed_usd_per_month", "fixed fee of the API"),
    ("api.router_usd_per_request", "price of routing a request"),
    (
        "api.self_hosted_tokenizer_ratio",
        "tokens of the own model per API token",
    ),
    ("api.route.0.share", "requests routed to the smaller model"),
    ("self_hosted.usd_per_gpu_hour", "price of a GPU hour"),
    (
        "self_hosted.output_tokens_per_second",
        "output rate of a replica",
    ),
    (
        "self_hosted.input_tokens_per_second",
        "input rate of a replica",
    ),
    (
        "self_hosted.prefill_tokens_per_second",
        "prefill rate of a replica",
    ),
    (
        "self_hosted.decode_tokens_per_second",
        "decode rate of a replica",
    ),
    (
        "self_hosted.requests_per_second",
        "request rate of a replica",
    ),
    ("self_hosted.target_load", "planned load of a replica"),
    ("self_hosted.staff.fte", "staff"),
    ("self_hosted.staff.usd_per_year", "cost of an engineer"),
    ("self_hosted.updates.per_year", "model updates"),
    (
        "self_hosted.updates.engineer_days",
        "work of a model update",
    ),
    ("self_hosted.one_off_usd", "one-off cost"),
    ("self_hosted.spot.share", "share of spot GPUs"),
    (
        "self_hosted.spot.usd_per_gpu_hour",
        "price of a spot GPU hour",
    ),
];

/// The plain name of an input; a key without one stands for itself.
pub(super) fn of_key(key: &str) -> &str {
    NAMES
        .iter()
        .find(|(known, _)| *known == key)
        .map_or(key, |(_, name)| name)
}

/// The plain name of a lever with its unit.
pub(super) fn of(lever: &Lever) -> String {
    let unit = match lever.unit {
        "of today's prices" => "× today's",
        unit => unit,
    };
    if unit.is_empty() {
        of_key(lever.key).to_owned()
    } else {
        format!("{}, {unit}", of_key(lever.key))
    }
}

/// The cheaper side.
pub(super) const fn of_cheaper(side: Option<Cheaper>) -> &'static str {
    match side {
        Some(Cheaper::Api) => "API",
        Some(Cheaper::SelfHosted) => "self-hosted",
        Some(Cheaper::Equal) => "equal",
        None => ABSENT,
    }
}

/// The card or the machine of the fleet.
pub(super) fn of_card(answer: &Answer) -> &str {
    let host = answer.view.host.as_ref();
    host.map_or("GPUs", |host| host.card.as_str())
}

/// What the fleet is counted in: one, many.
pub(super) fn of_cards(answer: &Answer) -> (&'static str, &'static str) {
    match &answer.view.host {
        Some(host) if !host.listed => ("machine", "machines"),
        Some(_) | None => ("GPU", "GPUs"),
    }
}

/// What is self-hosted, and on what.
pub(super) fn of_host(answer: &Answer) -> String {
    let model = answer
        .view
        .host
        .as_ref()
        .and_then(|host| host.model.as_deref());
    match model {
        Some(model) => format!("{model} on {}", of_card(answer)),
        None => format!("self-hosted on {}", of_card(answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_of_its_own() {
        for (place, (key, name)) in NAMES.iter().enumerate() {
            assert_eq!(of_key(key), *name);
            for (other, again) in &NAMES[place + 1..] {
                assert!(key != other && name != again, "{key} and {other}");
            }
        }
        assert_eq!(of_key("self_hosted.unknown"), "self_hosted.unknown");
    }
}
