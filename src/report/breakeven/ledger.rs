//! Every input with its source and date, and what should be doubted.

use super::amount::{count_small, short, stated};
use super::{Part, section};
use crate::cost::answer::{Answer, Assumption, Kind};
use crate::report::number::ABSENT;
use crate::report::section::{Align, Table};

/// Characters of a source.
const SOURCE: usize = 200;

/// What should be doubted, with a remedy.
pub(super) fn doubts(answer: &Answer) -> Option<Part> {
    let mut table = Table::new([("what to doubt", Align::Left), ("remedy", Align::Left)]);
    for warning in &answer.warnings {
        let plain = |text: &str| text.replace('`', "\"");
        table
            .rows
            .push(vec![plain(&warning.to_string()), plain(&warning.remedy())]);
    }
    let doubted = !table.rows.is_empty();
    doubted.then(|| section("Doubts", Vec::new(), Some(table)))
}

/// Every input that somebody measured, looked up or stated; prices first.
pub(super) fn inputs(answer: &Answer) -> Part {
    let mut lines: Vec<&Assumption> = answer
        .assumptions
        .iter()
        .filter(|line| line.source != "default" && line.key != "as_of")
        .collect();
    // Stable: within a kind the order of the scenario stays.
    lines.sort_by_key(|line| match (line.kind, line.source.as_str()) {
        (Kind::Measured, _) => 0,
        (Kind::Assumed, "scenario") => 2,
        (Kind::Assumed, _) => 1,
    });
    let measured = lines.iter().filter(|line| line.kind == Kind::Measured);
    let notes = vec![format!(
        "Measured: {} of {} inputs. What nobody stated has its default, listed at the end.",
        measured.count(),
        lines.len()
    )];
    section("Assumptions", notes, Some(table(&lines)))
}

/// Every input that nobody stated.
pub(super) fn defaults(answer: &Answer) -> Option<Part> {
    let lines: Vec<&Assumption> = answer
        .assumptions
        .iter()
        .filter(|line| line.source == "default")
        .collect();
    let unstated = !lines.is_empty();
    unstated.then(|| section("Defaults in use", Vec::new(), Some(table(&lines))))
}

fn table(lines: &[&Assumption]) -> Table {
    let mut table = Table::new([
        ("input", Align::Left),
        ("value", Align::Right),
        ("unit", Align::Left),
        ("source", Align::Left),
        ("date", Align::Left),
        ("kind", Align::Left),
    ]);
    for line in lines {
        table.rows.push(vec![
            line.key.clone(),
            match (line.kind, line.value.as_f64()) {
                (Kind::Measured, Some(number)) => count_small(number),
                (Kind::Measured | Kind::Assumed, _) => value(&line.value),
            },
            line.unit.to_owned(),
            short(&line.source, SOURCE),
            line.date.clone().unwrap_or_else(|| ABSENT.to_owned()),
            match line.kind {
                Kind::Measured => "measured".to_owned(),
                Kind::Assumed => "assumed".to_owned(),
            },
        ]);
    }
    table
}

fn value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => ABSENT.to_owned(),
        serde_json::Value::String(text) => short(text, 80),
        serde_json::Value::Number(number) => number.as_f64().map_or(number.to_string(), stated),
        serde_json::Value::Bool(_) | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            value.to_string()
        }
    }
}
