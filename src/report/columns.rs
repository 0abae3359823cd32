//! The flat table of a report: the columns of `points.csv`, which are the names of `--json`.

mod card;

use super::document::{Document, Measured, Row};
use super::precision::{PrecisionRow, Precisions};
use crate::cost::allocation::Method;
use crate::cost::rate::{MethodPrice, PointPrice};
use crate::metrics::latency::{Latency, Percentiles};
use crate::metrics::quality::Quality;
use crate::metrics::roofline::Roofline;
use crate::metrics::stats::Estimate;
use crate::record::observation::EngineFacts;
use crate::record::scoring::Pairing;
use crate::study::questions::Utilization;
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::{BytesPerSecond, Seconds, TokensPerSecond, UsdPerMtok};

/// One value of the table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing to say: an empty CSV cell, JSON null.
    Absent,
    /// Text from outside; a renderer escapes it.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A finite number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

/// A named value.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Name, with the unit at its end.
    pub name: String,
    /// Value.
    pub cell: Cell,
}

/// The columns of one row, the same names in the same order for every row of a document.
pub fn of(document: &Document, row: &Row) -> Vec<Column> {
    let mut cells = Cells(Vec::new());
    let latency = row.measured.as_ref().map(|m| &m.latency);
    let price = row.measured.as_ref().and_then(|m| m.price.as_ref());
    cells.identity(document, row);
    cells.rates(latency);
    cells.prices("", price);
    cells.times(latency);
    for utilization in &document.utilizations {
        cells.prices_at(*utilization, price);
    }
    cells.methods(row.measured.as_ref());
    cells.roofline(row.measured.as_ref().and_then(|m| m.roofline.as_ref()));
    cells.percentiles(latency);
    cells.card_use(row.measured.as_ref().and_then(|m| m.card_use.as_ref()));
    cells.energy(document, row.measured.as_ref());
    cells.circumstances(document, row);
    if let Some(precisions) = &document.precisions {
        let mut rows = precisions.rows.iter();
        let own = rows.find(|judged| judged.variant == row.point.variant());
        cells.quality(own.and_then(|own| own.quality.as_ref()));
        cells.number("speedup", speedup(document, row, precisions.base));
    }
    cells.0
}

/// Decode rate of a point ÷ that of the base at the same batch size and lengths.
fn speedup(document: &Document, row: &Row, base: Option<Variant>) -> Option<f64> {
    let decode = |row: &Row| row.measured.as_ref()?.latency.decode();
    let base = PointId {
        precision: base?.precision,
        kv: base?.kv,
        ..row.point
    };
    let base = document.rows.iter().find(|row| row.point == base)?;
    Some(decode(row)?.value / decode(base)?.value)
}

/// The columns of one variant: what it loses and, per batch size, what it saves.
pub fn of_precision(precisions: &Precisions, row: &PrecisionRow) -> Vec<Column> {
    let mut cells = Cells(Vec::new());
    let engine = row.engine.as_ref();
    cells.text("precision", Some(row.variant.precision.word()));
    cells.text("weight_type", engine.map(|e| e.weight_type.as_str()));
    cells.number("bits_per_weight", engine.map(|e| e.bits_per_weight));
    cells.cache(row.variant, engine);
    cells.count("kv_bytes_per_token", engine.map(|e| e.kv_bytes_per_token));
    cells.count("bytes", engine.map(|e| e.weight_bytes));
    cells.quality(row.quality.as_ref());
    for (batch, speed) in precisions.batches.iter().zip(&row.speeds) {
        let speed = speed.as_ref();
        let name = |what: &str| format!("{what}_b{batch}");
        cells.estimate(&name("prefill_tokens_per_second"), speed.map(|s| s.prefill));
        cells.estimate(
            &name("decode_tokens_per_second"),
            speed.and_then(|s| s.decode),
        );
        cells.number(name("speedup"), speed.and_then(|s| s.speedup));
        cells.estimate(&name("usd_per_mtok_blended"), speed.and_then(|s| s.price));
        cells.number(
            name("joules_per_output_token"),
            speed.and_then(|s| s.energy),
        );
    }
    let rounding = match row.pairing {
        Some(Pairing::Stored { error }) => Some(error),
        Some(Pairing::Resident) => Some(0.0),
        None => None,
    };
    cells.number("log_probability_rounding", rounding);
    cells.text("reason", row.reason.as_deref());
    cells.0
}

/// Columns under construction.
struct Cells(Vec<Column>);

impl Cells {
    fn push(&mut self, name: impl Into<String>, cell: Option<Cell>) {
        self.0.push(Column {
            name: name.into(),
            cell: cell.unwrap_or(Cell::Absent),
        });
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        self.push(name, text.map(|text| Cell::Text(text.to_owned())));
    }

    fn count(&mut self, name: &str, count: Option<u64>) {
        self.push(name, count.map(Cell::Count));
    }

    fn number(&mut self, name: impl Into<String>, number: Option<f64>) {
        let finite = number.filter(|number| number.is_finite());
        self.push(name, finite.map(Cell::Number));
    }

    /// A value and the ends of its interval.
    fn estimate(&mut self, name: &str, estimate: Option<Estimate<f64>>) {
        self.number(name, estimate.map(|e| e.value));
        self.number(format!("{name}_low"), estimate.and_then(|e| e.low()));
        self.number(format!("{name}_high"), estimate.and_then(|e| e.high()));
    }

    fn identity(&mut self, document: &Document, row: &Row) {
        let engine = row.load.as_ref().map(|load| &load.engine);
        self.text("status", Some(row.status.word()));
        self.text("precision", Some(row.point.precision.word()));
        self.text("weight_type", engine.map(|e| e.weight_type.as_str()));
        self.number("bits_per_weight", engine.map(|e| e.bits_per_weight));
        self.text(
            "activation_dtype",
            engine.map(|e| e.activation_dtype.as_str()),
        );
        self.cache(row.point.variant(), engine);
        self.text("engine", Some(document.engine));
        self.count("batch_size", Some(row.point.batch.get().into()));
        self.count("isl", Some(row.point.isl.get().into()));
        self.count("osl", Some(row.point.osl.get().into()));
        let blocks = row.measured.as_ref().map_or(0, |m| m.latency.blocks);
        self.count("n_blocks", Some(blocks as u64));
    }

    /// The type of the KV cache: that of the engine, and before there is one that which is asked for.
    fn cache(&mut self, variant: Variant, engine: Option<&EngineFacts>) {
        let asked = variant.kv.map(|kv| kv.precision().word());
        let held = engine.map(|engine| engine.kv_dtype.as_str());
        self.text("kv_dtype", held.or(asked));
    }

    fn rates(&mut self, latency: Option<&Latency>) {
        let value = |e: Estimate<TokensPerSecond>| e.rising(TokensPerSecond::value);
        let milliseconds = |e: Estimate<Seconds>| e.rising(Seconds::milliseconds);
        self.estimate(
            "prefill_tokens_per_second",
            latency.map(|l| value(l.prefill())),
        );
        self.estimate(
            "decode_tokens_per_second",
            latency.and_then(Latency::decode).map(value),
        );
        self.estimate(
            "output_tokens_per_second",
            latency.map(|l| value(l.output())),
        );
        self.estimate("total_tokens_per_second", latency.map(|l| value(l.total())));
        self.estimate("ttft_ms", latency.map(|l| milliseconds(l.ttft)));
        self.estimate("tpot_ms", latency.and_then(|l| l.tpot).map(milliseconds));
    }

    fn prices(&mut self, suffix: &str, price: Option<&PointPrice>) {
        let value = |e: Estimate<UsdPerMtok>| e.rising(UsdPerMtok::value);
        let mut add = |side: &str, estimate: Option<Estimate<UsdPerMtok>>| {
            self.estimate(&format!("usd_per_mtok_{side}{suffix}"), estimate.map(value));
        };
        add("input", price.map(|p| p.input));
        add("output", price.and_then(|p| p.output));
        add("blended", price.map(|p| p.blended));
        add("floor", price.and_then(|p| p.floor).map(Estimate::exact));
    }

    fn prices_at(&mut self, utilization: Utilization, price: Option<&PointPrice>) {
        let suffix = format!("_at_utilization_{:02}", utilization.percent());
        let price = price.map(|price| price.at_utilization(utilization.share()));
        let value = |e: Estimate<UsdPerMtok>| e.rising(UsdPerMtok::value);
        let mut add = |side: &str, estimate: Option<Estimate<UsdPerMtok>>| {
            self.estimate(&format!("usd_per_mtok_{side}{suffix}"), estimate.map(value));
        };
        add("input", price.as_ref().map(|p| p.input));
        add("output", price.as_ref().and_then(|p| p.output));
        add("blended", price.as_ref().map(|p| p.blended));
    }

    fn times(&mut self, latency: Option<&Latency>) {
        let per_user = latency.and_then(Latency::per_user);
        let per_user = per_user.map(|e| e.rising(TokensPerSecond::value));
        self.estimate("tokens_per_second_per_user", per_user);
        let e2el = latency.map(|l| l.e2el.rising(Seconds::milliseconds));
        self.estimate("e2el_ms", e2el);
    }

    /// The other methods in use, by name; the one that bills twice says so in its columns.
    fn methods(&mut self, measured: Option<&Measured>) {
        let methods = measured.map_or(&[][..], |m| &m.methods);
        let find = |wanted: fn(&Method) -> bool| methods.iter().find(|m| wanted(&m.method));
        let value = |e: Estimate<UsdPerMtok>| e.rising(UsdPerMtok::value);
        let mut both = |name: &str, price: Option<&MethodPrice>| {
            self.estimate(
                &format!("usd_per_mtok_input_{name}"),
                price.map(|p| value(p.input)),
            );
            self.estimate(
                &format!("usd_per_mtok_output_{name}"),
                price.map(|p| value(p.output)),
            );
        };
        both("output_only", find(|m| matches!(m, Method::OutputOnly)));
        both("total_tokens", find(|m| matches!(m, Method::TotalTokens)));
        both(
            "full_load_bills_twice",
            find(|m| matches!(m, Method::FullLoadEachSide)),
        );
        both(
            "price_ratio_4",
            find(|m| matches!(m, Method::PriceRatio(_))),
        );
        let time_share = find(|m| matches!(m, Method::TimeShare(_)));
        both("time_share", time_share);
        self.number("time_share_kappa", time_share.and_then(|p| p.kappa));
    }

    fn roofline(&mut self, roofline: Option<&Roofline>) {
        self.estimate("mbu", roofline.and_then(|r| r.mbu));
        self.estimate("mfu", roofline.and_then(|r| r.mfu));
        let shown = roofline.filter(|r| r.mfu.is_some() || r.mfu_of_sheet.is_some());
        self.text("mfu_dtype", shown.map(|r| r.mfu_dtype.word()));
        self.estimate("mbu_of_data_sheet", roofline.and_then(|r| r.mbu_of_sheet));
        self.estimate("mfu_of_data_sheet", roofline.and_then(|r| r.mfu_of_sheet));
        self.number("bytes_read_per_step", roofline.map(|r| r.work.step.value()));
        let read = roofline.and_then(|r| r.read).map(BytesPerSecond::value);
        self.number("read_bytes_per_second", read);
        let copy = roofline.and_then(|r| r.copy).map(BytesPerSecond::value);
        self.number("copy_bytes_per_second", copy);
        let in_cache = roofline.and_then(|r| r.in_cache);
        self.push("in_cache", in_cache.map(Cell::Flag));
    }

    fn quality(&mut self, quality: Option<&Quality>) {
        self.estimate("perplexity", quality.map(|q| q.perplexity));
        let error = quality.and_then(|q| q.perplexity_error);
        self.number("perplexity_standard_error", error);
        self.estimate(
            "perplexity_reference",
            quality.map(|q| q.perplexity_reference),
        );
        self.estimate("perplexity_ratio", quality.map(|q| q.perplexity_ratio));
        self.estimate("kld_mean", quality.map(|q| q.kld_mean));
        self.estimate("kld_median", quality.and_then(|q| q.kld_median));
        self.estimate("kld_p90", quality.and_then(|q| q.kld_p90));
        self.estimate("kld_p99", quality.and_then(|q| q.kld_p99));
        self.estimate("kld_p999", quality.and_then(|q| q.kld_p999));
        // No interval: nothing bounds what another text would show.
        self.estimate("kld_max", quality.map(|q| Estimate::exact(q.kld_max)));
        self.estimate("delta_p_mean", quality.map(|q| q.delta_p_mean));
        self.estimate("delta_p_rms", quality.map(|q| q.delta_p_rms));
        self.estimate("same_top", quality.map(|q| q.same_top));
        self.count("n_windows", quality.map(|q| q.windows as u64));
        self.count("n_predictions", quality.map(|q| q.predictions));
    }

    fn percentiles(&mut self, latency: Option<&Latency>) {
        let mut of = |name: &str, percentiles: Option<Percentiles>| {
            let percentiles = percentiles.unwrap_or_default();
            let quantiles = [
                ("p50", percentiles.p50),
                ("p90", percentiles.p90),
                ("p99", percentiles.p99),
            ];
            for (quantile, time) in quantiles {
                self.number(
                    format!("{name}_{quantile}_ms"),
                    time.map(Seconds::milliseconds),
                );
            }
        };
        of("ttft", latency.map(|l| l.ttft_percentiles));
        of("itl", latency.map(|l| l.itl_percentiles));
        of("e2el", latency.map(|l| l.e2el_percentiles));
    }

    fn circumstances(&mut self, document: &Document, row: &Row) {
        let latency = row.measured.as_ref().map(|m| &m.latency);
        let engine: Option<&EngineFacts> = row.load.as_ref().map(|load| &load.engine);
        self.count("n_generations", latency.map(|l| l.generations as u64));
        self.count("n_launches", latency.map(|l| l.launches as u64));
        self.number(
            "lag1_autocorrelation",
            latency.and_then(|l| l.autocorrelation),
        );
        self.count(
            "peak_memory_bytes",
            row.measured.as_ref().and_then(|m| m.peak_memory),
        );
        self.count("weight_bytes", engine.map(|e| e.weight_bytes));
        self.count("kv_bytes_per_token", engine.map(|e| e.kv_bytes_per_token));
        let price = document.price.as_ref();
        self.number("usd_per_hour", price.map(|p| p.usd_per_hour.value()));
        let as_of = price.and_then(|p| p.as_of).map(|date| date.to_string());
        self.text("price_as_of", as_of.as_deref());
        self.text("price_source", price.map(|p| p.source.as_str()));
        self.text("point", Some(&row.point.to_string()));
        self.text("reason", row.reason.as_deref());
    }
}
