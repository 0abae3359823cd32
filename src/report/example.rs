//! A small study for the tests of all renderings.

use std::num::NonZeroU32;

use jiff::civil::date;

use super::document::{Document, Inputs};
use crate::cost::rate::{HourlyPrice, Origin};
use crate::metrics::fixture::{Script, generation, point};
use crate::record::machine::Limit;
use crate::record::observation::{EndStatus, FailureKind, Record, SkipCause};
use crate::study::model::Precision;
use crate::units::UsdPerHour;

/// 0.36 USD per hour: 0.1 mUSD per second.
pub(crate) fn price() -> HourlyPrice {
    HourlyPrice {
        usd_per_hour: UsdPerHour::new(0.36),
        label: "--usd-per-hour".to_owned(),
        source: "the user".to_owned(),
        as_of: None,
        origin: Origin::User,
    }
}

/// Batch 1 measured in three blocks, batch 2 in three faster ones, batch 4 out of memory, batch 8
/// skipped for it.
pub(crate) fn script() -> Script {
    let points = [1, 2, 4, 8].map(|batch| point(batch, 100, 11));
    let mut script = Script::new(&points);
    for buffer_bytes in [100_000_000, 1_000_000_000] {
        let read = Limit::Read { buffer_bytes };
        script.peak(read, buffer_bytes, &[buffer_bytes / 20, buffer_bytes / 19]);
    }
    let matmul = Limit::Matmul {
        dtype: Precision::F32,
        size: 1_024,
    };
    script.peak(matmul, 1_000_000_000, &[1_000_000]);
    for tenths in [99, 100, 101] {
        let first = tenths * 5_000_000;
        script.block(points[0], vec![generation(first, &[100_000_000; 10])]);
        script.block(points[1], vec![generation(first, &[125_000_000; 10])]);
    }
    script.fail(
        points[2],
        FailureKind::Oom,
        "out of memory: 3.1 GB asked, 1.2 GB free",
    );
    script.skip(
        points[3],
        SkipCause::OomDominated,
        "batch 4 ran out of memory",
    );
    script.end(EndStatus::Complete);
    script
}

pub(crate) fn document(script: &Script) -> Document {
    document_at(script, Some(&price()))
}

pub(crate) fn document_at(script: &Script, price: Option<&HourlyPrice>) -> Document {
    let [Record::Session(session), ..] = script.records.as_slice() else {
        panic!("a script begins with a session");
    };
    Document::new(&Inputs {
        records: &script.records,
        price,
        sheet: None,
        date: date(2026, 11, 23),
        questions: &session.study.report,
    })
    .unwrap()
}

/// Names that try to act in every output.
pub(crate) fn hostile() -> Script {
    let mut script = script();
    let name = "</style></SCRIPT><img src=x onerror=alert(1)>|`\u{1b}[2J\u{2028}\u{202e}\n=cmd";
    name.clone_into(&mut script.session_mut().model.name);
    name.clone_into(&mut script.device_mut().name);
    let last = point(8, 100, 11);
    script.skip(
        last,
        SkipCause::DoesNotFit,
        "=HYPERLINK(\"http://x\",\"|\")",
    );
    script
}

/// A study of 16 points, for pictures with several series.
pub(crate) fn sweep() -> Script {
    let count = |n| NonZeroU32::new(n).unwrap();
    let mut points = Vec::new();
    for precision in [Precision::Q8_0, Precision::Q4K] {
        for batch in [1, 2, 4, 8, 16, 32, 64, 128] {
            let mut point = point(batch, 100, 11);
            point.precision = precision;
            points.push((point, count(batch)));
        }
    }
    let ids: Vec<_> = points.iter().map(|(point, _)| *point).collect();
    let mut script = Script::new(&ids);
    for (point, batch) in points {
        let speedup = if point.precision == Precision::Q4K {
            6
        } else {
            10
        };
        for jitter in [99, 100, 101] {
            let step = speedup * jitter * (50_000 + 10_000 * u64::from(batch.get()));
            script.block(point, vec![generation(5 * step, &[step; 10])]);
        }
    }
    script.end(EndStatus::Complete);
    script
}
