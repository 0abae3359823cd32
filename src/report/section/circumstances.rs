//! The sections around the numbers: what failed, what to doubt, and with what it was measured.

use super::{Align, Section, Table, usd};
use crate::metrics::verdict::Warning;
use crate::record::machine::{DeviceKind, Limit, Peak};
use crate::record::observation::Load;
use crate::record::quantizing::Quantizing;
use crate::report::document::{Document, Status};
use crate::report::number;
use crate::report::provenance::bytes;
use crate::study::variant::Variant;

/// Points that a warning names before it only counts them.
const NAMED_POINTS: usize = 3;

pub(super) fn not_measured(document: &Document) -> Option<Section> {
    let mut table = Table::new([
        ("point", Align::Left),
        ("status", Align::Left),
        ("reason", Align::Left),
    ]);
    for row in document.rows.iter().filter(|row| row.status != Status::Ok) {
        let reason = row.reason.clone().unwrap_or(number::ABSENT.to_owned());
        let status = row.status.word().to_owned();
        table.rows.push(vec![row.point.to_string(), status, reason]);
    }
    (!table.rows.is_empty()).then(|| Section {
        title: "Points without a result",
        notes: Vec::new(),
        table: Some(table),
    })
}

pub(super) fn warnings(document: &Document) -> Option<Section> {
    let mut table = Table::new([
        ("warning", Align::Left),
        ("where", Align::Left),
        ("what was seen", Align::Left),
        ("remedy", Align::Left),
    ]);
    for alike in alike(&document.warnings) {
        let told = &alike[0].verdict;
        table.rows.push(vec![
            told.code().to_owned(),
            places(&alike),
            told.to_string(),
            told.remedy().to_owned(),
        ]);
    }
    (!table.rows.is_empty()).then(|| Section {
        title: "Warnings",
        notes: Vec::new(),
        table: Some(table),
    })
}

/// Warnings that make one row, the worst first; those of one code stand together, in the order of the first.
fn alike(warnings: &[Warning]) -> Vec<Vec<&Warning>> {
    let mut groups: Vec<Vec<&Warning>> = Vec::new();
    for warning in warnings {
        match groups
            .iter_mut()
            .find(|group| stands_for(group[0], warning))
        {
            Some(group) => group.push(warning),
            None => groups.push(vec![warning]),
        }
    }
    let code = |group: &[&Warning]| group[0].verdict.code();
    let codes: Vec<&str> = groups.iter().map(|group| code(group)).collect();
    groups.sort_by_key(|group| codes.iter().position(|it| *it == code(group)));
    for group in &mut groups {
        let severity = |warning: &Warning| warning.verdict.severity().unwrap_or(f64::NEG_INFINITY);
        group.sort_by(|a, b| severity(b).total_cmp(&severity(a)));
    }
    groups
}

/// Whether one row tells of both: the same is to be done about them, and either the worse one says it all or they
/// say the same.
fn stands_for(one: &Warning, other: &Warning) -> bool {
    let (one, other) = (&one.verdict, &other.verdict);
    one.code() == other.code()
        && one.remedy() == other.remedy()
        && (one.severity().is_some() || one.to_string() == other.to_string())
}

/// The points that warnings of one row concern.
fn places(alike: &[&Warning]) -> String {
    let mut points: Vec<String> = Vec::new();
    for point in alike.iter().filter_map(|warning| warning.point) {
        let name = point.to_string();
        // One point may have several, such as a drift in each load.
        if !points.contains(&name) {
            points.push(name);
        }
    }
    if points.is_empty() {
        return "the run".to_owned();
    }
    let named = points.len().min(NAMED_POINTS);
    let mut text = points[..named].join(", ");
    if points.len() > named {
        text.extend([format!(" and {} more", points.len() - named)]);
    }
    text
}

pub(super) fn loads(document: &Document) -> Option<Section> {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("precision", Left),
        ("launch", Right),
        ("weights", Left),
        ("bits per weight", Right),
        ("on the device", Right),
        ("read per step", Right),
        ("activations", Left),
        ("KV", Left),
        ("KV bytes per token", Right),
        ("resident after load", Right),
        ("peak during load", Right),
        ("load s", Right),
        ("logits' error (bound)", Right),
    ]);
    table.rows = document.loads.iter().map(load_row).collect();
    (!table.rows.is_empty()).then(|| Section {
        title: "The model on the device",
        notes: std::iter::once(
            "Before timing, the logits of the timed path are compared with the reference path: largest relative L2 error over a prefill and three decode steps."
                .to_owned(),
        )
        .chain(quantizing(&document.quantizing))
        .collect(),
        table: Some(table),
    })
}

/// What quantizing took, of each variant the longest; its memory is part of the peak during the load.
pub(super) fn quantizing(all: &[(Variant, Quantizing)]) -> Option<String> {
    let mut told: Vec<(Variant, Quantizing)> = Vec::new();
    for &(variant, how) in all {
        match told.iter_mut().find(|(other, _)| *other == variant) {
            Some((_, longest)) => *longest = (*longest).max(how),
            None => told.push((variant, how)),
        }
    }
    let words = told.iter().map(|(variant, how)| match how {
        Quantizing::Done { duration_ns } => {
            let seconds = number::plain(duration_ns.seconds().value());
            format!("{variant} in {seconds} s")
        }
        Quantizing::Kept => format!("{variant} read from the file that was kept"),
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| {
        format!(
            "Quantized on all cores while loading: {}; its memory is part of the peak during load.",
            words.join(", ")
        )
    })
}

fn load_row(load: &Load) -> Vec<String> {
    let engine = &load.engine;
    let memory = |count: Option<u64>| count.map_or(number::ABSENT.to_owned(), bytes);
    let errors: Vec<String> = load
        .accuracy
        .iter()
        .map(|check| {
            let error = check
                .relative_error
                .map_or("not finite".to_owned(), |error| format!("{error:.1e}"));
            let witness = match check.reference_on {
                Some(DeviceKind::Cpu) => " against the CPU",
                Some(DeviceKind::Cuda | DeviceKind::Sim) | None => "",
            };
            format!("b{} {error} ({}){witness}", check.batch, check.bound)
        })
        .collect();
    vec![
        load.precision.to_string(),
        load.launch.to_string(),
        engine.weight_type.clone(),
        number::plain(engine.bits_per_weight),
        bytes(engine.weight_bytes),
        bytes(engine.weight_bytes_per_step),
        engine.activation_dtype.clone(),
        engine.kv_dtype.clone(),
        engine.kv_bytes_per_token.to_string(),
        memory(engine.resident_bytes),
        memory(engine.peak_resident_bytes),
        number::plain(load.duration_ns.seconds().value()),
        match errors.as_slice() {
            [] => number::ABSENT.to_owned(),
            errors => errors.join(", "),
        },
    ]
}

pub(super) fn peaks(document: &Document) -> Option<Section> {
    let mut table = Table::new([
        ("limit", Align::Left),
        ("best", Align::Right),
        ("unit", Align::Left),
        ("repetitions", Align::Right),
    ]);
    table.rows = document.peaks.iter().map(peak_row).collect();
    (!table.rows.is_empty()).then(|| Section {
        title: "Measured limits of the device",
        notes: Vec::new(),
        table: Some(table),
    })
}

fn peak_row(peak: &Peak) -> Vec<String> {
    let (limit, unit) = match peak.of {
        Limit::Read { buffer_bytes } => (format!("read {}", bytes(buffer_bytes)), "GB/s"),
        Limit::Copy { buffer_bytes } => (format!("copy {}", bytes(buffer_bytes)), "GB/s"),
        Limit::Matmul { dtype, size } => (format!("matmul {dtype} {size}"), "GFLOP/s"),
    };
    let fastest = peak.times_ns.iter().min().filter(|t| t.value() > 0);
    let best = fastest.map(|time| peak.work as f64 / time.seconds().value() / 1e9);
    vec![
        limit,
        number::optional(best),
        unit.to_owned(),
        peak.times_ns.len().to_string(),
    ]
}

pub(super) fn provenance(document: &Document) -> Section {
    let mut table = Table::new([("what", Align::Left), ("value", Align::Left)]);
    for fact in &document.provenance {
        table
            .rows
            .push(vec![fact.label.to_owned(), fact.value.clone()]);
    }
    if let Some(price) = &document.price {
        let as_of = price.as_of.map_or("undated".to_owned(), |d| d.to_string());
        let value = format!(
            "{} per hour, {}, {}, {as_of}",
            usd(price),
            price.label,
            price.source
        );
        table.rows.push(vec!["hourly price".to_owned(), value]);
    }
    if let Some(sheet) = &document.sheet {
        let value = sheet.card.clone();
        table.rows.push(vec!["data sheet".to_owned(), value]);
    }
    for drift in &document.drifts {
        let value = format!(
            "{:+.2} % time per generation of {} until the end of load {}",
            drift.change * 100.0,
            drift.point,
            drift.load
        );
        table.rows.push(vec!["drift".to_owned(), value]);
    }
    Section {
        title: "Provenance",
        notes: Vec::new(),
        table: Some(table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::point;
    use crate::metrics::throttling::tests::throttling;
    use crate::metrics::verdict::Verdict;
    use crate::report::example::{document, script};
    use crate::study::model::Precision;
    use crate::units::Nanos;

    #[test]
    fn of_warnings_of_one_kind_the_worst_is_told() {
        let mut document = document(&script());
        let wide = |batch, half_width| Warning {
            point: Some(point(batch, 10, 2)),
            verdict: Verdict::WideInterval {
                half_width,
                target: 0.03,
            },
        };
        document.warnings = vec![wide(1, 0.05), wide(2, 0.4), wide(4, 0.1)];
        let table = warnings(&document).unwrap().table.unwrap();
        assert!(table.rows[0][1].starts_with(&point(2, 10, 2).to_string()));
        assert!(table.rows[0][2].contains("40.0 %"), "{}", table.rows[0][2]);
    }

    /// Of each row its places, and what was seen.
    fn rows(told: Vec<(u32, Verdict)>) -> Vec<(String, String)> {
        let mut document = document(&script());
        let told = told.into_iter().map(|(batch, verdict)| Warning {
            point: Some(point(batch, 10, 2)),
            verdict,
        });
        document.warnings = told.collect();
        let table = warnings(&document).unwrap().table.unwrap();
        let cells = |row: Vec<String>| (row[1].clone(), row[2].clone());
        table.rows.into_iter().map(cells).collect()
    }

    #[test]
    fn warnings_with_different_remedies_do_not_stand_for_each_other() {
        let throttled = |bits: &[u64]| Verdict::Throttled(throttling(bits));
        let rows = rows(vec![
            (1, throttled(&[4, 0, 0, 0])),
            (2, throttled(&[0x20])),
            (4, throttled(&[4, 0])),
        ]);
        let (one, two, four) = (point(1, 10, 2), point(2, 10, 2), point(4, 10, 2));
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].0, format!("{four}, {one}"));
        assert!(rows[0].1.contains("50 %"), "{rows:?}");
        assert_eq!(rows[1].0, two.to_string());
        assert!(rows[1].1.contains("thermal slowdown 100 %"), "{rows:?}");
    }

    #[test]
    fn facts_of_one_kind_are_all_told_and_each_of_them_once() {
        let xid = |number| Verdict::Xid { number };
        let blocks = 3;
        let rows = rows(vec![
            (1, xid(13)),
            (1, Verdict::NoInterval { blocks }),
            (2, xid(31)),
            (4, xid(13)),
        ]);
        let (one, two, four) = (point(1, 10, 2), point(2, 10, 2), point(4, 10, 2));
        let (places, seen): (Vec<String>, Vec<String>) = rows.into_iter().unzip();
        assert_eq!(
            places,
            [format!("{one}, {four}"), two.to_string(), one.to_string()]
        );
        assert!(
            seen[0].contains("XID 13") && seen[1].contains("XID 31"),
            "{seen:?}"
        );
    }

    #[test]
    fn a_point_is_named_once_however_often_it_is_doubted() {
        let mut document = document(&script());
        let wide = |batch| Warning {
            point: Some(point(batch, 10, 2)),
            verdict: Verdict::NoInterval { blocks: 3 },
        };
        document.warnings = vec![wide(1), wide(2), wide(1)];
        let table = warnings(&document).unwrap().table.unwrap();
        let (one, two) = (point(1, 10, 2), point(2, 10, 2));
        assert_eq!(table.rows[0][1], format!("{one}, {two}"));
    }

    #[test]
    fn quantizing_is_told_by_variant_with_its_longest_time() {
        assert_eq!(quantizing(&[]), None);
        let held = |precision: Precision, how| (Variant::from(precision), how);
        let done = |milliseconds: u64| Quantizing::Done {
            duration_ns: Nanos::new(milliseconds * 1_000_000),
        };
        let loads = [
            held(Precision::Q8_0, done(500)),
            held(Precision::Q4K, Quantizing::Kept),
            held(Precision::Q8_0, done(700)),
            held(Precision::Q2K, done(250)),
            held(Precision::Q2K, Quantizing::Kept),
        ];
        insta::assert_snapshot!(quantizing(&loads).unwrap(), @"Quantized on all cores while loading: q8_0 in 0.7000 s, q4_k read from the file that was kept, q2_k in 0.2500 s; its memory is part of the peak during load.");
    }
}
