//! For the engineer: where a replica works, what limits it, what levers save, and what it all rests on.

use super::amount::{count, count_small};
use super::{Part, change, claims, fleet, framework, ledger, methods, pictures, replica, saving};
use super::{section, table};
use crate::cost::answer::Answer;
use crate::cost::scenario::Side;
use crate::report::number::ABSENT;

/// Crossings that the table lists.
const CROSSINGS: usize = 20;

pub(super) fn parts(answer: &Answer) -> Vec<Part> {
    let mut parts = Vec::new();
    parts.extend(replica::operating_point(answer));
    parts.extend(methods::prices(answer));
    parts.push(Part::Pictures(pictures::of_the_fleet(answer)));
    parts.extend(fleet::stairs(answer));
    parts.extend(crossings(answer));
    parts.extend(fleet::memory(answer));
    parts.extend(fleet::hours(answer));
    parts.extend(fleet::reserve(answer));
    parts.extend(saving::levers(answer));
    parts.extend(saving::quantization(answer));
    parts.push(Part::Pictures(pictures::of_conversations(answer)));
    parts.extend(change::sensitivity(answer));
    parts.push(Part::Pictures(pictures::of_the_bills(answer)));
    parts.push(framework::comparison(answer));
    parts.extend(claims::checked(answer));
    parts.extend(ledger::defaults(answer));
    parts.push(provenance(answer));
    parts
}

fn crossings(answer: &Answer) -> Option<Part> {
    let found = answer.break_even.as_ref()?;
    let rows: Vec<Vec<String>> = found
        .crossings
        .iter()
        .take(CROSSINGS)
        .map(|crossing| {
            vec![
                count(crossing.requests_per_month),
                count(crossing.replicas),
                match crossing.to {
                    Side::Api => "API".to_owned(),
                    Side::SelfHosted => "self-hosted".to_owned(),
                },
            ]
        })
        .collect();
    let table = table(0, &["requests/month", "replicas", "cheaper above"], rows)?;
    let note = match found.crossings.len() {
        1 => "The bills cross once.".to_owned(),
        many if many > CROSSINGS => format!(
            "The bills cross {many} times, because replicas come whole; the last crossing decides. The first {CROSSINGS}:"
        ),
        many => format!(
            "The bills cross {many} times, because replicas come whole; the last crossing decides."
        ),
    };
    Some(section("Crossings", vec![note], Some(table)))
}

fn provenance(answer: &Answer) -> Part {
    let mut rows = vec![
        vec![
            "price catalog, sha256".to_owned(),
            answer.catalog_hash.clone(),
        ],
        vec![
            "prices are aged against".to_owned(),
            answer.as_of.clone().unwrap_or_else(|| ABSENT.to_owned()),
        ],
        vec!["schema of the answer".to_owned(), answer.schema.to_string()],
        vec![
            "hours of a month, both sides".to_owned(),
            count_small(answer.volume.hours_per_month),
        ],
    ];
    if let Some(unsure) = &answer.uncertainty {
        rows.push(vec![
            "draws".to_owned(),
            format!(
                "{} of {} with seed {}",
                count(unsure.draws as f64),
                unsure.generator,
                unsure.seed
            ),
        ]);
    }
    section("Provenance", Vec::new(), table(2, &["what", "value"], rows))
}
