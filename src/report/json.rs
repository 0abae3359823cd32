//! The `--json` document: the columns of `points.csv` under the same names, and the warnings.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::cheapest::Limits;
use super::columns::{self, Cell, Column};
use super::document::Document;
use crate::metrics::verdict::Warning;
use crate::units::Seconds;

/// Version of the document's form.
const SCHEMA: u32 = 1;

/// The document as indented JSON with a newline at its end.
///
/// # Panics
/// Never: the shape has text for keys and finite numbers.
pub fn render(document: &Document) -> String {
    let judged = document.precisions.as_ref();
    let shape = Shape {
        precisions: judged.map(|judged| {
            let rows = judged.rows.iter();
            rows.map(|row| Point(columns::of_precision(judged, row)))
                .collect()
        }),
        cheapest_within_budget: judged.map(|judged| match judged.cheapest() {
            Some(row) => Cell::Text(row.variant.to_string()),
            None => Cell::Absent,
        }),
        schema: SCHEMA,
        simulated: document.simulated,
        cheapest: document
            .limits
            .iter()
            .map(|limits| Cheapest::new(document, limits))
            .collect(),
        points: document
            .rows
            .iter()
            .map(|row| Point(columns::of(document, row)))
            .collect(),
        warnings: document.warnings.iter().map(Doubt::new).collect(),
    };
    let mut text = serde_json::to_string_pretty(&shape).expect("every number is finite");
    text.push('\n');
    text
}

#[derive(serde::Serialize)]
struct Shape {
    schema: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    precisions: Option<Vec<Point>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cheapest_within_budget: Option<Cell>,
    cheapest: Vec<Cheapest>,
    points: Vec<Point>,
    warnings: Vec<Doubt>,
}

/// Columns as one object, in their order.
struct Point(Vec<Column>);

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for column in &self.0 {
            map.serialize_entry(&column.name, &column.cell)?;
        }
        map.end()
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
        }
    }
}

/// The cheapest point under limits, null where none keeps them; `point` is the column of its row.
#[derive(serde::Serialize)]
struct Cheapest {
    limits: &'static str,
    max_ttft_ms: Option<f64>,
    max_tpot_ms: Option<f64>,
    point: Option<String>,
    miss: Option<String>,
}

impl Cheapest {
    fn new(document: &Document, limits: &Limits) -> Self {
        let row = document.cheapest(limits);
        Self {
            limits: limits.name,
            max_ttft_ms: limits.ttft.map(Seconds::milliseconds),
            max_tpot_ms: limits.tpot.map(Seconds::milliseconds),
            point: row.map(|row| row.point.to_string()),
            miss: document.miss(limits),
        }
    }
}

/// A warning; `point` is the `point` column of its row, null for the run.
#[derive(serde::Serialize)]
struct Doubt {
    code: &'static str,
    point: Option<String>,
    message: String,
    remedy: &'static str,
}

impl Doubt {
    fn new(warning: &Warning) -> Self {
        Self {
            code: warning.verdict.code(),
            point: warning.point.map(|point| point.to_string()),
            message: warning.verdict.to_string(),
            remedy: warning.verdict.remedy(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::observation::EndStatus;
    use crate::report::example::{document, hostile, script};

    fn parsed(document: &Document) -> serde_json::Value {
        serde_json::from_str(&render(document)).unwrap()
    }

    #[test]
    fn points_carry_the_names_of_the_table() {
        let document = document(&script());
        let json = parsed(&document);
        assert_eq!(json["schema"], 1);
        assert_eq!(json["points"].as_array().unwrap().len(), 4);
        let columns = columns::of(&document, &document.rows[0]);
        let point = json["points"][0].as_object().unwrap();
        assert_eq!(point.len(), columns.len());
        for column in columns {
            assert!(point.contains_key(&column.name), "{}", column.name);
        }
        assert_eq!(json["points"][0]["ttft_ms"], 500.0);
        assert_eq!(json["points"][2]["ttft_ms"], serde_json::Value::Null);
        assert_eq!(json.get("simulated"), None);
    }

    #[test]
    fn warnings_name_code_point_and_remedy() {
        let mut script = script();
        script.records.pop();
        script.session_mut().study.measure.min_blocks = 4;
        script.end(EndStatus::Interrupted);
        let json = parsed(&document(&script));
        assert_eq!(json["warnings"][0]["code"], "interrupted");
        assert_eq!(json["warnings"][0]["point"], serde_json::Value::Null);
        assert_eq!(json["warnings"][1]["code"], "too_few_samples");
        assert_eq!(json["warnings"][1]["point"], json["points"][0]["point"]);
        assert_eq!(json["warnings"][0]["remedy"], "finish it with --resume");
    }

    #[test]
    fn hostile_names_stay_text() {
        let json = parsed(&document(&hostile()));
        assert_eq!(
            json["points"][3]["reason"],
            "=HYPERLINK(\"http://x\",\"|\")"
        );
    }
}
