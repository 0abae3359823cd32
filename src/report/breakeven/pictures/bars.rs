//! What moves the saving (the tornado), and both bills part by part (the waterfalls).

use super::{API, CROSSING, OTHER, SELF_HOSTED};
use crate::cost::answer::Answer;
use crate::cost::sensitivity::Lever;
use crate::report::breakeven::amount::{brief_usd, change as signed, count_small, usd};
use crate::report::breakeven::plot::{Bar, Bars, Piece};
use crate::report::breakeven::{change, names};
use crate::report::pictures::Picture;

/// Bars of the tornado.
const TORNADO: usize = 12;

/// What each input moves on its own, widest first.
pub(super) fn tornado(answer: &Answer) -> Option<Picture> {
    let today = answer.api.as_ref()?.usd_per_month - answer.self_hosted.as_ref()?.usd_per_month;
    let row = |lever: &Lever| {
        let piece = |to: f64, style: usize| Piece {
            from: today,
            to,
            style,
        };
        let flips = if lever.flip_point.is_some() {
            " ↔"
        } else {
            ""
        };
        Bar {
            label: format!("{}{flips}", names::of(lever)),
            pieces: vec![
                piece(lever.saving_usd_at_low, OTHER),
                piece(lever.saving_usd_at_high, CROSSING),
            ],
            note: format!("{} – {}", count_small(lever.low), count_small(lever.high)),
        }
    };
    let moving = answer
        .sensitivity
        .iter()
        .filter(|lever| lever.swing_usd() > 0.0 && !change::is_convention(lever));
    let bars = Bars {
        title: "What moves the saving".to_owned(),
        label: "USD per month that self-hosting saves".to_owned(),
        write: brief_usd,
        rows: moving.take(TORNADO).map(row).collect(),
        mark: Some(today),
        legend: vec![
            (OTHER, "at the low end of the input"),
            (CROSSING, "at the high end of the input"),
        ],
    };
    Some(Picture {
        svg: bars.svg()?,
        caption: format!(
            "What moves the saving, widest first: each input between its ends while the others stay. The dashed line is today's {}; ↔ marks inputs that can change the cheaper side.",
            signed(Some(today))
        ),
    })
}

/// Both bills part by part on one axis, parts of nothing left out.
pub(super) fn bills(answer: &Answer) -> Option<Picture> {
    let mut rows = Vec::new();
    if let Some(api) = answer.view.api_parts {
        let parts = [
            ("input tokens", api.uncached_usd),
            ("input read from the prompt cache", api.read_usd),
            ("input written to the prompt cache", api.written_usd),
            ("output tokens", api.output_usd),
            ("routing", api.router_usd),
            ("fees and stored cache", api.fixed_usd),
            ("retrieval: embeddings, reranking, store", api.shared_usd),
        ];
        rows.extend(waterfall("API", &parts, API));
    }
    if let Some(host) = answer.view.host_parts {
        let parts = [
            ("machines at work", host.working_usd),
            ("machines waiting for load", host.idle_usd),
            ("stand-by replicas", host.spare_usd),
            ("staff and updates", host.staff_usd),
            ("storage and other fixed costs", host.running_usd),
            ("one-off costs, spread", host.one_off_usd),
            ("traffic out", host.egress_usd),
            ("retrieval: embeddings, reranking, store", host.shared_usd),
        ];
        rows.extend(waterfall("Self-hosting", &parts, SELF_HOSTED));
    }
    let bars = Bars {
        title: "Both bills part by part".to_owned(),
        label: "USD per month".to_owned(),
        write: brief_usd,
        rows,
        mark: None,
        legend: vec![(API, "API"), (SELF_HOSTED, "self-hosted")],
    };
    Some(Picture {
        svg: bars.svg()?,
        caption: "Both bills of today, part by part, on one scale.".to_owned(),
    })
}

/// Parts one after the other, and their sum.
fn waterfall(side: &str, parts: &[(&str, f64)], style: usize) -> Vec<Bar> {
    let total: f64 = parts.iter().map(|(_, usd)| usd).sum();
    let bar = |label: String, from: f64, to: f64, note: f64| Bar {
        label,
        pieces: vec![Piece { from, to, style }],
        note: usd(note),
    };
    let mut reached = 0.0;
    let mut rows = Vec::new();
    // Less than a thousandth of a cent is rounding.
    for (label, part) in parts.iter().filter(|(_, usd)| usd.abs() > 1e-5) {
        let from = reached;
        reached += part;
        rows.push(bar((*label).to_owned(), from, reached, *part));
    }
    rows.push(bar(format!("= {side} a month"), 0.0, total, total));
    rows
}
