//! What may stand in a key: ranges, and keys that exclude or need each other.

use super::parse::Refusal;
use super::{Api, Route, Scenario, SelfHosted, UncertainInput};
use super::{DistributionKind, MeetsQuality, Policy};

/// Larger than any honest count, rate or price; keeps every product finite.
const HUGE: f64 = 1e15;
/// Smaller than any honest rate; keeps every quotient finite.
pub(super) const TINY: f64 = 1e-6;
/// More draws than anyone waits for.
const MOST_DRAWS: u32 = 10_000_000;
/// More months than anyone plans.
const MOST_MONTHS: u32 = 1_200;

pub(super) type Checked = Result<(), Refusal>;

/// Refuses what makes no sense, naming the key.
pub(super) fn check(scenario: &Scenario) -> Checked {
    within(
        "calendar.hours_per_month",
        scenario.calendar.hours_per_month,
        1.0,
        8_784.0,
    )?;
    super::check_traffic::traffic(&scenario.traffic)?;
    if let Some(section) = &scenario.api {
        api("api", section)?;
        if section.name.is_some() || section.same_model.is_some() {
            let key = if section.name.is_some() {
                "api.name"
            } else {
                "api.same_model"
            };
            return Err(Refusal::new(
                key,
                "only an [[api.alternative]] has this key",
            ));
        }
        for (index, alternative) in section.alternative.iter().enumerate() {
            let prefix = format!("api.alternative.{index}");
            if !alternative.alternative.is_empty() {
                return Err(Refusal::new(
                    format!("{prefix}.alternative"),
                    "an alternative has no alternatives of its own",
                ));
            }
            api(&prefix, alternative)?;
        }
    }
    if let Some(section) = &scenario.self_hosted {
        host_section(section)?;
    }
    decision(scenario)?;
    budget(scenario)?;
    uncertainty(scenario)
}

fn host_section(section: &SelfHosted) -> Checked {
    if section.name.is_some() {
        return Err(Refusal::new(
            "self_hosted.name",
            "only a [[self_hosted.alternative]] has this key",
        ));
    }
    self_hosted("self_hosted", section)?;
    for (index, alternative) in section.alternative.iter().enumerate() {
        let prefix = format!("self_hosted.alternative.{index}");
        if !alternative.alternative.is_empty() {
            return Err(Refusal::new(
                format!("{prefix}.alternative"),
                "an alternative has no alternatives of its own",
            ));
        }
        self_hosted(&prefix, alternative)?;
    }
    Ok(())
}

pub(super) fn within(key: &str, value: f64, low: f64, high: f64) -> Checked {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let range = if high < HUGE {
        format!("from {low} to {high}")
    } else if value > high {
        format!("at most {high:e}")
    } else {
        format!("{low} or more")
    };
    // A number of hundreds of digits is no help to whoever mistyped it.
    let value = if value.abs() > HUGE {
        format!("{value:e}")
    } else {
        value.to_string()
    };
    Err(Refusal::new(
        key,
        format!("{key} = {value} is out of range; it must be {range}"),
    ))
}

pub(super) fn amount(key: &str, value: f64) -> Checked {
    within(key, value, 0.0, HUGE)
}

pub(super) fn share(key: &str, value: f64) -> Checked {
    within(key, value, 0.0, 1.0)
}

pub(super) fn positive(key: &str, value: f64) -> Checked {
    within(key, value, TINY, HUGE)
}

/// Checks each value of a list of (key, value) below a prefix.
pub(super) fn each(
    prefix: &str,
    values: &[(&str, f64)],
    rule: fn(&str, f64) -> Checked,
) -> Checked {
    values
        .iter()
        .try_for_each(|(key, value)| rule(&format!("{prefix}.{key}"), *value))
}

/// The same for keys that may be left out.
pub(super) fn each_given(
    prefix: &str,
    values: &[(&str, Option<f64>)],
    rule: fn(&str, f64) -> Checked,
) -> Checked {
    values.iter().try_for_each(|(key, value)| match value {
        Some(value) => rule(&format!("{prefix}.{key}"), *value),
        None => Ok(()),
    })
}

/// Refuses more than one of several keys that exclude each other.
pub(super) fn one_of(prefix: &str, stated: &[(&str, bool)]) -> Checked {
    let given: Vec<&str> = stated
        .iter()
        .filter(|(_, stated)| *stated)
        .map(|(key, _)| *key)
        .collect();
    match given[..] {
        [first, second, ..] => Err(Refusal::new(
            format!("{prefix}.{second}"),
            format!("`{first}` and `{second}` exclude each other; keep one"),
        )),
        [] | [_] => Ok(()),
    }
}

fn api(prefix: &str, a: &Api) -> Checked {
    prices(prefix, &a.inline())?;
    share(&format!("{prefix}.discount"), a.discount)?;
    each(
        prefix,
        &[
            ("fixed_usd_per_month", a.fixed_usd_per_month),
            ("router_usd_per_request", a.router_usd_per_request),
        ],
        amount,
    )?;
    within(
        &format!("{prefix}.self_hosted_tokenizer_ratio"),
        a.self_hosted_tokenizer_ratio,
        0.01,
        100.0,
    )?;
    let mut shares = 0.0;
    for (index, r) in a.route.iter().enumerate() {
        let prefix = format!("{prefix}.route.{index}");
        route(&prefix, r)?;
        shares += r.share.unwrap_or(0.0);
        // The sum of decimal shares may exceed 1 by rounding.
        if shares > 1.0 + 1e-9 {
            let problem = format!("the route shares add up to {shares}; at most 1 can be routed");
            return Err(Refusal::new(format!("{prefix}.share"), problem));
        }
    }
    Ok(())
}

fn route(prefix: &str, r: &Route) -> Checked {
    prices(prefix, &r.inline())?;
    let (needed, other) = match r.policy {
        Policy::Share => (("share", r.share), ("escalation", r.escalation)),
        Policy::Cascade => (("escalation", r.escalation), ("share", r.share)),
    };
    let Some(value) = needed.1 else {
        let problem = format!("a route of this policy needs `{}`", needed.0);
        return Err(Refusal::new(prefix, problem));
    };
    if other.1.is_some() {
        let problem = format!("a route of this policy has no `{}`", other.0);
        return Err(Refusal::new(format!("{prefix}.{}", other.0), problem));
    }
    share(&format!("{prefix}.{}", needed.0), value)
}

fn prices(prefix: &str, inline: &super::api::Inline<'_>) -> Checked {
    let given = [
        ("input_usd_per_mtok", inline.input),
        ("output_usd_per_mtok", inline.output),
        ("cached_input_usd_per_mtok", inline.cached),
        ("cache_write_usd_per_mtok", inline.write),
        ("cache_min_tokens", inline.cache_min),
        ("cache_storage_usd_per_mtok_hour", inline.storage),
        ("batch_input_usd_per_mtok", inline.batch_input),
        ("batch_output_usd_per_mtok", inline.batch_output),
    ];
    each_given(prefix, &given, amount)?;
    let first = given.iter().find(|(_, value)| value.is_some());
    match (inline.model, first) {
        (Some(_), Some((key, _))) => Err(Refusal::new(
            format!("{prefix}.{key}"),
            format!(
                "`model` and `{key}` exclude each other; inline prices stand instead of a model"
            ),
        )),
        (None, _) if inline.input.is_none() || inline.output.is_none() => Err(Refusal::new(
            prefix,
            "a price is missing; give `model`, or input_usd_per_mtok and output_usd_per_mtok",
        )),
        (Some(_), None) | (None, _) => Ok(()),
    }
}

fn self_hosted(prefix: &str, s: &SelfHosted) -> Checked {
    super::check_host::rates(prefix, s)?;
    super::check_host::fleet(prefix, s)
}

fn decision(scenario: &Scenario) -> Checked {
    let d = &scenario.decision;
    if d.quality.is_some() && d.self_hosted_meets_quality != MeetsQuality::Unknown {
        return Err(Refusal::new(
            "decision.quality",
            "`quality` and `self_hosted_meets_quality` exclude each other; keep one",
        ));
    }
    share(
        "decision.minimum_probability",
        scenario.decision.minimum_probability,
    )?;
    let h = &scenario.horizon;
    within(
        "horizon.months",
        f64::from(h.months),
        1.0,
        f64::from(MOST_MONTHS),
    )?;
    for (key, value) in [
        ("discount_rate_per_year", h.discount_rate_per_year),
        ("api_price_change_per_year", h.api_price_change_per_year),
        ("gpu_price_change_per_year", h.gpu_price_change_per_year),
    ] {
        within(&format!("horizon.{key}"), value, -0.99, 10.0)?;
    }
    Ok(())
}

fn budget(scenario: &Scenario) -> Checked {
    let b = &scenario.budget;
    each(
        "budget",
        &[
            ("alert_usd_per_month", b.alert_usd_per_month),
            ("alert_usd_per_session", b.alert_usd_per_session),
        ],
        amount,
    )?;
    for (index, at) in b.alert_at.iter().enumerate() {
        within(&format!("budget.alert_at.{index}"), *at, 0.0, 100.0)?;
    }
    let mut shares = 0.0;
    for (index, center) in b.cost_center.iter().enumerate() {
        let key = format!("budget.cost_center.{index}.share");
        share(&key, center.share)?;
        shares += center.share;
        if shares > 1.0 + 1e-9 {
            let problem = format!("the shares of cost centers add up to {shares}; at most 1");
            return Err(Refusal::new(key, problem));
        }
    }
    Ok(())
}

fn uncertainty(scenario: &Scenario) -> Checked {
    let u = &scenario.uncertainty;
    within(
        "uncertainty.draws",
        f64::from(u.draws),
        1.0,
        f64::from(MOST_DRAWS),
    )?;
    if let Some(cv) = u.between_host_cv {
        within("uncertainty.between_host_cv", cv, 0.0, 10.0)?;
    }
    let mut keys: Vec<&str> = Vec::new();
    for (index, input) in u.input.iter().enumerate() {
        let prefix = format!("uncertainty.input.{index}");
        if keys.contains(&input.key.as_str()) {
            let problem = format!("`{}` is drawn twice", input.key);
            return Err(Refusal::new(format!("{prefix}.key"), problem));
        }
        keys.push(&input.key);
        parameters(&prefix, input)?;
    }
    for (index, pair) in u.correlation.iter().enumerate() {
        let prefix = format!("uncertainty.correlation.{index}");
        within(
            &format!("{prefix}.rank_correlation"),
            pair.rank_correlation,
            -1.0,
            1.0,
        )?;
        if pair.keys[0] == pair.keys[1] {
            let problem = "a key cannot be correlated with itself";
            return Err(Refusal::new(format!("{prefix}.keys"), problem));
        }
    }
    Ok(())
}

/// Refuses parameters that the distribution lacks or does not have.
fn parameters(prefix: &str, input: &UncertainInput) -> Checked {
    let (needed, optional): (&[&str], &[&str]) = match input.distribution {
        DistributionKind::Fixed => (&["value"], &[]),
        DistributionKind::Uniform => (&["low", "high"], &[]),
        DistributionKind::Triangular => (&["low", "mode", "high"], &[]),
        DistributionKind::Lognormal => (&["median", "p95"], &[]),
        DistributionKind::Beta => (&["mean", "sd"], &["low", "high"]),
    };
    let given = [
        ("value", input.value),
        ("low", input.low),
        ("mode", input.mode),
        ("high", input.high),
        ("median", input.median),
        ("p95", input.p95),
        ("mean", input.mean),
        ("sd", input.sd),
    ];
    for (name, value) in given {
        if needed.contains(&name) && value.is_none() {
            let problem = format!("the distribution of `{}` needs `{name}`", input.key);
            return Err(Refusal::new(prefix, problem));
        }
        if value.is_some() && !needed.contains(&name) && !optional.contains(&name) {
            let problem = format!("the distribution of `{}` has no `{name}`", input.key);
            return Err(Refusal::new(format!("{prefix}.{name}"), problem));
        }
        if let Some(value) = value {
            within(&format!("{prefix}.{name}"), value, -HUGE, HUGE)?;
        }
    }
    Ok(())
}
