//! What may stand under `[traffic]`.

use super::check::{Checked, TINY, amount, each, each_given, one_of, positive, share, within};
use super::parse::Refusal;
use super::{Conversation, Retrieval, Traffic};

/// More turns than any conversation.
const MOST_TURNS: f64 = 10_000.0;
/// More months than anyone plans.
const MOST_MONTHS: f64 = 1_200.0;

pub(super) fn traffic(t: &Traffic) -> Checked {
    let volume = [
        ("requests_per_day", t.requests_per_day.is_some()),
        ("requests_per_month", t.requests_per_month.is_some()),
        ("trace", t.trace.is_some()),
    ];
    one_of("traffic", &volume)?;
    if volume.iter().all(|(_, stated)| !stated) {
        return Err(Refusal::new(
            "traffic",
            "the volume is missing; give requests_per_day, requests_per_month or trace",
        ));
    }
    one_of(
        "traffic",
        &[
            ("peak_to_average", t.peak_to_average.is_some()),
            ("hourly", t.hourly.is_some()),
            ("trace", t.trace.is_some()),
        ],
    )?;
    volumes(t)?;
    hourly(t.hourly.as_deref())?;
    tokens(t)?;
    each(
        "traffic.cache",
        &[
            ("semantic_hit_rate", t.cache.semantic_hit_rate),
            (
                "semantic_wrong_answer_rate",
                t.cache.semantic_wrong_answer_rate,
            ),
        ],
        share,
    )?;
    each_given(
        "traffic.cache",
        &[("prefix_hit_rate", t.cache.prefix_hit_rate)],
        share,
    )?;
    t.retrieval.as_ref().map_or(Ok(()), retrieval)
}

fn volumes(t: &Traffic) -> Checked {
    each_given(
        "traffic",
        &[
            ("requests_per_day", t.requests_per_day),
            ("requests_per_month", t.requests_per_month),
        ],
        positive,
    )?;
    if let Some(value) = t.peak_to_average {
        within("traffic.peak_to_average", value, 1.0, 1e6)?;
    }
    each(
        "traffic.burst",
        &[
            ("cv", t.burst.cv),
            ("window_seconds", t.burst.window_seconds),
            ("z", t.burst.z),
        ],
        amount,
    )?;
    within("traffic.retries", t.retries, 0.0, 100.0)?;
    if let Some(value) = t.output_retries {
        within("traffic.output_retries", value, 0.0, 100.0)?;
    }
    within(
        "traffic.forecast.growth_per_month",
        t.forecast.growth_per_month,
        -0.99,
        10.0,
    )?;
    if f64::from(t.forecast.months) > MOST_MONTHS {
        return within(
            "traffic.forecast.months",
            f64::from(t.forecast.months),
            0.0,
            MOST_MONTHS,
        );
    }
    share("traffic.batch.share", t.batch.share)?;
    within("traffic.batch.multiplier", t.batch.multiplier, 0.0, 10.0)
}

fn hourly(weights: Option<&[f64]>) -> Checked {
    let Some(weights) = weights else {
        return Ok(());
    };
    let key = "traffic.hourly";
    if weights.len() != 24 && weights.len() != 168 {
        let problem = format!(
            "{key} has {} weights; it must have 24 or 168",
            weights.len()
        );
        return Err(Refusal::new(key, problem));
    }
    for (index, weight) in weights.iter().enumerate() {
        within(&format!("{key}.{index}"), *weight, 0.0, 1e9)?;
    }
    if weights.iter().sum::<f64>() <= TINY {
        return Err(Refusal::new(key, format!("{key} adds up to nothing")));
    }
    Ok(())
}

fn tokens(t: &Traffic) -> Checked {
    if let Some(talk) = &t.conversation {
        let replaced = [
            ("history_tokens", t.history_tokens),
            ("user_tokens", t.user_tokens),
            ("output_tokens", t.output_tokens),
        ];
        if let Some((key, _)) = replaced.iter().find(|(_, value)| value.is_some()) {
            return Err(Refusal::new(
                format!("traffic.{key}"),
                format!("[traffic.conversation] replaces {key}; remove one of the two"),
            ));
        }
        conversation(talk)?;
    } else if t.output_tokens.is_none() {
        return Err(Refusal::new("traffic", "output_tokens is missing"));
    } else if t.user_tokens.is_none() && t.history_tokens.is_none() && t.system_tokens <= 0.0 {
        let problem = "the input is missing; give system_tokens, history_tokens or user_tokens";
        return Err(Refusal::new("traffic", problem));
    }
    let given = [
        ("history_tokens", t.history_tokens),
        ("user_tokens", t.user_tokens),
    ];
    each_given("traffic", &given, amount_of_tokens)?;
    if let Some(value) = t.output_tokens {
        within("traffic.output_tokens", value, TINY, 1e9)?;
    }
    each(
        "traffic",
        &[
            ("system_tokens", t.system_tokens),
            ("tool_tokens", t.tool_tokens),
            ("input_token_limit", t.input_token_limit),
            ("session_token_limit", t.session_token_limit),
        ],
        amount_of_tokens,
    )?;
    within("traffic.input_tokens_cv", t.input_tokens_cv, 0.0, 10.0)?;
    within("traffic.output_tokens_cv", t.output_tokens_cv, 0.0, 10.0)
}

fn amount_of_tokens(key: &str, value: f64) -> Checked {
    within(key, value, 0.0, 1e9)
}

fn conversation(talk: &Conversation) -> Checked {
    let prefix = "traffic.conversation";
    within(&format!("{prefix}.turns"), talk.turns, 1.0, MOST_TURNS)?;
    within(
        &format!("{prefix}.turns_sd"),
        talk.turns_sd,
        0.0,
        2.0 * talk.turns,
    )?;
    within(
        &format!("{prefix}.answer_tokens"),
        talk.answer_tokens,
        TINY,
        1e9,
    )?;
    each(
        prefix,
        &[
            ("user_tokens", talk.user_tokens),
            ("summarize_above_tokens", talk.summarize_above_tokens),
            ("summary_tokens", talk.summary_tokens),
        ],
        amount_of_tokens,
    )
}

fn retrieval(r: &Retrieval) -> Checked {
    let prefix = "traffic.retrieval";
    each(
        prefix,
        &[
            ("chunks", r.chunks),
            ("tokens_per_chunk", r.tokens_per_chunk),
            ("query_tokens", r.query_tokens),
            ("index_tokens_per_chunk", r.index_tokens_per_chunk),
        ],
        amount_of_tokens,
    )?;
    each(
        prefix,
        &[
            ("index_chunks", r.index_chunks),
            ("vector_dimensions", r.vector_dimensions),
            ("vector_bytes", r.vector_bytes),
            ("store_usd_per_gb_month", r.store_usd_per_gb_month),
            ("rerank_usd_per_request", r.rerank_usd_per_request),
        ],
        amount,
    )?;
    within(&format!("{prefix}.overlap"), r.overlap, 0.0, 100.0)?;
    within(
        &format!("{prefix}.reindex_months"),
        r.reindex_months,
        0.01,
        1_200.0,
    )
}
