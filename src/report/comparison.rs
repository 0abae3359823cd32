//! What `mtok compare` prints: differences of circumstance first, then every metric, then the verdict.

use super::number;
use super::section::{Align, Section, Table};
use super::terminal;
use crate::metrics::comparison::{Change, Comparison, Difference, MetricChange};
use crate::study::workload::PointId;

/// Version of the JSON document's form.
const SCHEMA: u32 = 1;

/// The comparison as aligned text.
pub fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    for section in sections(comparison) {
        text.push_str(&terminal::of_section(&section));
        text.push('\n');
    }
    text.extend([format!("{}\n", sentence(comparison))]);
    text
}

/// The comparison as one JSON document.
///
/// # Panics
/// Never: the shape has text for keys and finite numbers.
pub fn json(comparison: &Comparison) -> String {
    let shape = Shape {
        schema: SCHEMA,
        verdict: comparison.verdict().words(),
        noise_threshold: comparison.settings.noise_threshold,
        run_to_run_variance_known: !comparison.single_launch,
        differences: comparison
            .differences
            .iter()
            .map(Circumstance::new)
            .collect(),
        metrics: comparison.metrics.iter().map(Entry::new).collect(),
        failed: comparison.failed.iter().map(Loss::new).collect(),
        only_base: names(&comparison.only_base),
        only_new: names(&comparison.only_new),
    };
    let mut text = serde_json::to_string_pretty(&shape).expect("every number is finite");
    text.push('\n');
    text
}

fn sections(comparison: &Comparison) -> Vec<Section> {
    let mut sections = Vec::new();
    if !comparison.differences.is_empty() {
        sections.push(differences(&comparison.differences));
    }
    sections.push(changes(comparison));
    sections
}

fn differences(differences: &[Difference]) -> Section {
    let header = [
        ("what", Align::Left),
        ("base", Align::Left),
        ("new", Align::Left),
    ];
    let mut table = Table::new(header);
    for difference in differences {
        let (base, new) = (difference.base.clone(), difference.new.clone());
        table.rows.push(vec![difference.what.to_owned(), base, new]);
    }
    Section {
        title: "Differences besides the numbers",
        notes: Vec::new(),
        table: Some(table),
    }
}

fn changes(comparison: &Comparison) -> Section {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("point", Left),
        ("metric", Left),
        ("new ÷ base", Right),
        ("n", Right),
        ("p (Holm)", Right),
        ("could find", Right),
        ("verdict", Left),
    ]);
    table.rows = comparison.metrics.iter().map(row).collect();
    let mut notes = Vec::new();
    if comparison.single_launch {
        notes.push(
            "One side has a single launch: how much one run differs from the next is not known. Measure with measure.launches = 3 or more."
                .to_owned(),
        );
    }
    for (side, points) in [
        ("base", &comparison.only_base),
        ("new", &comparison.only_new),
    ] {
        if !points.is_empty() {
            notes.push(format!(
                "Only {side} measured {}.",
                names(points).join(", ")
            ));
        }
    }
    for (point, reason) in &comparison.failed {
        notes.push(format!("New failed at {point}: {reason}"));
    }
    Section {
        title: "Rates, with 95 % intervals",
        notes,
        table: Some(table),
    }
}

fn row(change: &MetricChange) -> Vec<String> {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    vec![
        change.point.to_string(),
        change.metric.name().to_owned(),
        number::estimate(Some(&change.ratio)),
        change.ratio.n.to_string(),
        change
            .p_value
            .map_or(number::ABSENT.to_owned(), |p| format!("{p:.3}")),
        change
            .smallest_detectable
            .map_or(number::ABSENT.to_owned(), percent),
        change.verdict.words().to_owned(),
    ]
}

/// The verdict with what it rests on.
fn sentence(comparison: &Comparison) -> String {
    let threshold = comparison.settings.noise_threshold * 100.0;
    let limit = comparison.settings.inconclusive_above() * 100.0;
    match comparison.verdict() {
        Change::Faster => format!("faster: by more than {threshold} % beyond doubt"),
        Change::Slower => format!("slower: by more than {threshold} % beyond doubt"),
        Change::Unchanged => {
            let worst = comparison
                .metrics
                .iter()
                .filter_map(|m| m.smallest_detectable);
            let worst = worst.reduce(f64::max).unwrap_or(0.0) * 100.0;
            format!("no change: one of {worst:.1} % or more would have been found")
        }
        Change::Failed => {
            let points: Vec<PointId> = comparison.failed.iter().map(|(point, _)| *point).collect();
            format!("failed: new has no result at {}", names(&points).join(", "))
        }
        Change::Inconclusive if comparison.metrics.is_empty() => {
            "inconclusive: the runs have no measured point in common".to_owned()
        }
        Change::Inconclusive => {
            format!("inconclusive: a change of more than {limit} % could have been missed")
        }
    }
}

fn names(points: &[PointId]) -> Vec<String> {
    points.iter().map(PointId::to_string).collect()
}

#[derive(serde::Serialize)]
struct Shape {
    schema: u32,
    verdict: &'static str,
    noise_threshold: f64,
    run_to_run_variance_known: bool,
    differences: Vec<Circumstance>,
    metrics: Vec<Entry>,
    failed: Vec<Loss>,
    only_base: Vec<String>,
    only_new: Vec<String>,
}

/// A point of the base at which the new run failed.
#[derive(serde::Serialize)]
struct Loss {
    point: String,
    reason: String,
}

impl Loss {
    fn new((point, reason): &(PointId, String)) -> Self {
        Self {
            point: point.to_string(),
            reason: reason.clone(),
        }
    }
}

#[derive(serde::Serialize)]
struct Circumstance {
    what: &'static str,
    base: String,
    new: String,
}

impl Circumstance {
    fn new(difference: &Difference) -> Self {
        Self {
            what: difference.what,
            base: difference.base.clone(),
            new: difference.new.clone(),
        }
    }
}

#[derive(serde::Serialize)]
struct Entry {
    point: String,
    metric: &'static str,
    ratio: f64,
    ratio_low: Option<f64>,
    ratio_high: Option<f64>,
    n_blocks: usize,
    p_value: Option<f64>,
    smallest_detectable_change: Option<f64>,
    verdict: &'static str,
}

impl Entry {
    fn new(change: &MetricChange) -> Self {
        Self {
            point: change.point.to_string(),
            metric: change.metric.name(),
            ratio: change.ratio.value,
            ratio_low: change.ratio.low(),
            ratio_high: change.ratio.high(),
            n_blocks: change.ratio.n,
            p_value: change.p_value,
            smallest_detectable_change: change.smallest_detectable,
            verdict: change.verdict.words(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::comparison::Settings;
    use crate::metrics::fixture::{Script, generation, point};
    use crate::report::example::{document, hostile, script};

    fn compared(base: &Script, new: &Script) -> Comparison {
        Comparison::new(&base.facts(), &new.facts(), Settings::default())
    }

    fn run(step: u64) -> Script {
        let mut script = Script::new(&[1, 2].map(|batch| point(batch, 100, 11)));
        for jitter in [99, 100, 101, 100, 99, 101] {
            let time = step * jitter;
            let generations = vec![generation(time * 5, &[time; 10])];
            script.block(point(1, 100, 11), generations);
        }
        script
    }

    #[test]
    fn a_slower_run_with_another_driver() {
        let mut new = run(1_100_000);
        new.device_mut().driver = Some("580.1".to_owned());
        insta::assert_snapshot!(text(&compared(&run(1_000_000), &new)), @r#"
Differences besides the numbers
what    base  new
driver  —     580.1

Rates, with 95 % intervals
One side has a single launch: how much one run differs from the next is not known. Measure with measure.launches = 3 or more.
point           metric                              new ÷ base  n  p (Holm)  could find  verdict
q8_0 b1 100/11  prefill_tokens_per_second  0.909 (0.899–0.920)  6     0.000       2.6 %  slower
q8_0 b1 100/11  decode_tokens_per_second   0.909 (0.899–0.920)  6     0.000       2.6 %  slower
q8_0 b1 100/11  output_tokens_per_second   0.909 (0.899–0.920)  6     0.000       2.6 %  slower

slower: by more than 1 % beyond doubt
"#);
    }

    #[test]
    fn the_json_document_says_the_same() {
        let comparison = compared(&run(1_000_000), &run(1_000_000));
        let parsed: serde_json::Value = serde_json::from_str(&json(&comparison)).unwrap();
        assert_eq!(parsed["schema"], 1);
        assert_eq!(parsed["verdict"], "no change");
        assert_eq!(parsed["metrics"][0]["ratio"], 1.0);
        assert_eq!(parsed["metrics"][0]["metric"], "prefill_tokens_per_second");
        assert_eq!(parsed["run_to_run_variance_known"], false);
    }

    #[test]
    fn names_do_not_act_and_numbers_stay_whole() {
        let text = text(&compared(&script(), &hostile()));
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
        assert!(!text.contains("NaN") && !document(&script()).rows.is_empty());
    }
}
