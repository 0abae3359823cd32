//! Every option at today's volume, at the forecast and at break-even.

use super::amount::{count, percent_or_absent, short, usd, usd_or_absent, usd_range};
use super::{Part, names, section, table};
use crate::cost::answer::{Answer, BreakEvenAnswer};
use crate::cost::outlook::{OptionOutlook, VolumeKind};
use crate::cost::scenario::Side;
use crate::report::number::ABSENT;

/// Characters of an option's name.
const NAME: usize = 60;

/// Dollars, range and utilization of every option at every volume.
pub(super) fn bills(answer: &Answer) -> Option<Part> {
    let view = &answer.view;
    let mut header = vec!["option".to_owned()];
    for volume in &view.volumes {
        let when = match volume.kind {
            VolumeKind::Today => "today".to_owned(),
            VolumeKind::Forecast => format!("in {} months", answer.forecast.months),
            VolumeKind::BreakEven => "at break-even".to_owned(),
        };
        header.push(format!("$/month {when}"));
        if answer.uncertainty.is_some() {
            header.push("P5–P95".to_owned());
        }
        header.push("in use".to_owned());
    }
    let rows = view.options.iter().map(|option| {
        let mut row = vec![name(answer, option)];
        for at in &option.at {
            row.push(usd(at.usd_per_month));
            if answer.uncertainty.is_some() {
                row.push(usd_range(at.p5_usd_per_month.zip(at.p95_usd_per_month)));
            }
            row.push(percent_or_absent(at.utilization));
        }
        row
    });
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let table = table(1, &header, rows.collect())?;
    Some(section("Options", notes(answer), Some(table)))
}

fn notes(answer: &Answer) -> Vec<String> {
    let mut volumes: Vec<String> = Vec::new();
    for volume in &answer.view.volumes {
        let requests = count(volume.requests_per_month);
        volumes.push(match volume.kind {
            VolumeKind::Today => format!(
                "Today is {requests} requests a month ({} a day)",
                count(answer.volume.requests_per_day)
            ),
            VolumeKind::Forecast => {
                format!(
                    "the forecast for {} months ahead {requests}",
                    answer.forecast.months
                )
            }
            VolumeKind::BreakEven => format!("self-hosting stays cheaper above {requests}"),
        });
    }
    let mut notes = vec![format!("{}.", volumes.join("; "))];
    let mut columns =
        "\u{201c}In use\u{201d} is the share of the paid capacity that the load fills.".to_owned();
    if answer.uncertainty.is_some() {
        columns.push_str(" Nine of ten draws lie between P5 and P95; the volume is as uncertain in every column as it is today, and an option is drawn only in what it shares with the two sides.");
    }
    notes.push(columns);
    if answer.shared.usd_per_month > 0.0 {
        notes.push(format!(
            "Every bill holds {} a month for embeddings, reranking and the vector store, which both sides pay alike.",
            usd(answer.shared.usd_per_month)
        ));
    }
    if answer.shared.wrong_answers_per_month > 0.0 {
        notes.push(format!(
            "The semantic cache gives {} wrong answers a month.",
            count(answer.shared.wrong_answers_per_month)
        ));
    }
    if answer.volume.rejected_share > 0.0 {
        notes.push(format!(
            "A token limit refuses {} of the requests.",
            super::amount::percent(answer.volume.rejected_share)
        ));
    }
    notes
}

/// What a request and a million tokens cost by each option, and where it breaks even.
pub(super) fn unit_prices(answer: &Answer) -> Option<Part> {
    let view = &answer.view;
    let others = answer.alternatives.iter().map(|other| {
        (
            permanent(other.break_even.as_ref()),
            names::of_cheaper(other.cheaper_now),
        )
    });
    let sides = view.options.iter().filter(|option| option.name.is_none());
    let base = sides.map(|option| match option.side {
        Side::Api => (ABSENT.to_owned(), ABSENT),
        Side::SelfHosted => (
            permanent(answer.break_even.as_ref()),
            names::of_cheaper(answer.cheaper_now),
        ),
    });
    let rows =
        view.options
            .iter()
            .zip(base.chain(others))
            .filter_map(|(option, (from, cheaper))| {
                let today = option.at.first()?;
                Some(vec![
                    name(answer, option),
                    usd(today.usd_per_request),
                    usd_or_absent(today.usd_per_mtok),
                    from,
                    cheaper.to_owned(),
                ])
            });
    let header = [
        "option",
        "$ per request",
        "$ per million tokens",
        "self-hosting pays for good above, requests/month",
        "cheaper today",
    ];
    let table = table(1, &header, rows.collect())?;
    let notes = vec![
        "Today's prices of one request and of a million tokens, input and output together. The last two columns compare the option with the other side: a seller with the own fleet, another fleet with the API.".to_owned(),
    ];
    Some(section("Unit prices", notes, Some(table)))
}

fn name(answer: &Answer, option: &OptionOutlook) -> String {
    let side = match option.side {
        Side::Api => "API",
        Side::SelfHosted => "self-hosted",
    };
    let own = match option.side {
        Side::Api => answer
            .api
            .as_ref()
            .map_or("", |api| api.model.as_str())
            .to_owned(),
        Side::SelfHosted => names::of_host(answer),
    };
    let name = option.name.as_deref().unwrap_or(&own);
    // A host without a model is called by its side already.
    let name = name.strip_prefix("self-hosted ").unwrap_or(name);
    let same = match (option.side, option.same_model) {
        (Side::Api, Some(true)) => " (the same model)",
        (Side::Api, Some(false)) => " (another model)",
        (Side::Api, None) | (Side::SelfHosted, _) => "",
    };
    format!("{side}: {}{same}", short(name, NAME))
}

fn permanent(found: Option<&BreakEvenAnswer>) -> String {
    match found {
        Some(found) => paying_from(found.permanent_from_requests_per_month),
        None => ABSENT.to_owned(),
    }
}

/// The volume from which self-hosting pays for good, where both sides are known.
pub(super) fn paying_from(permanent: Option<f64>) -> String {
    match permanent {
        Some(permanent) if permanent <= 0.0 => "always".to_owned(),
        Some(permanent) => count(permanent),
        None => "never".to_owned(),
    }
}
