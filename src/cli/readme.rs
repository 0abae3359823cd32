//! The tables of the README, which have to be what the program says.

use super::exit::Exit;
use crate::engine::cards;

const README: &str = include_str!("../../README.md");

/// Compares what stands between two markers with what should.
#[track_caller]
fn holds(marker: &str, expected: &str) {
    let (start, end) = (
        format!("<!-- {marker} -->\n"),
        format!("<!-- /{marker} -->"),
    );
    let found = README
        .split_once(&start)
        .and_then(|(_, rest)| rest.split_once(&end));
    let (found, _) = found.expect("the README has both markers");
    assert_eq!(
        found.trim(),
        expected.trim(),
        "put this between the markers:\n{expected}"
    );
}

#[test]
fn the_readme_lists_every_model_card() {
    let mut table = "| card | repository | parameters | context | licence |\n\
                     |---|---|---:|---:|---|\n"
        .to_owned();
    for named in cards::all() {
        let card = named.card;
        let billions = card.shape.parameters() as f64 / 1e9;
        let context = card.shape.context;
        table += &format!(
            "| `{}` | {} | {billions:.2} B | {context} | {} |\n",
            named.name, card.repository, card.licence
        );
    }
    holds("cards", &table);
}

#[test]
fn the_readme_lists_every_exit_code() {
    let mut table = "| code | meaning |\n|---:|---|\n".to_owned();
    for (exit, meaning) in Exit::MEANINGS {
        table += &format!("| {} | {meaning} |\n", exit as u8);
    }
    holds("exit-codes", &table);
}
