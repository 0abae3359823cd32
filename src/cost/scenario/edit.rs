//! Edits of the tree: what-ifs set dotted keys, alternatives lay one section over another.
//!
//! Both happen before the tree is read, so what they make is checked like a file.

use toml::{Table, Value};

use super::parse::{Document, Refusal, ScenarioError, from_tree};
use super::{Scenario, WhatIf};

/// Keys of which one replaces the others when an alternative names it.
const RATE_KEYS: [&str; 3] = ["usd_per_gpu_hour", "rental", "owned"];
/// Keys of bought cards that exclude each other likewise.
const POWER_KEYS: [&str; 2] = ["usd_per_kwh", "colocation_usd_per_kw_month"];
/// Throughput keys; an alternative that names one of them has its own set.
const THROUGHPUT_KEYS: [&str; 6] = [
    "output_tokens_per_second",
    "input_tokens_per_second",
    "prefill_tokens_per_second",
    "decode_tokens_per_second",
    "requests_per_second",
    "results",
];

impl Document {
    /// The scenario with the keys of a what-if set; `index` is its position in the file.
    pub fn with_what_if(&self, index: usize, what_if: &WhatIf) -> Result<Scenario, ScenarioError> {
        let refuse = |refusal: Refusal| {
            self.place(Refusal {
                key: format!("what_if.{index}.set"),
                problem: format!("what-if `{}`: {}", what_if.name, refusal.problem),
                hint: refusal.hint,
            })
        };
        let mut tree = self.tree.clone();
        tree.remove("what_if");
        for (key, value) in &what_if.set {
            set(&mut tree, key, value).map_err(refuse)?;
        }
        from_tree(tree).map_err(refuse)
    }

    /// The scenario with one of its self-hosted alternatives in place of the base.
    pub fn with_alternative(&self, index: usize) -> Result<Scenario, ScenarioError> {
        let key = format!("self_hosted.alternative.{index}");
        let mut tree = self.tree.clone();
        let Some(Value::Table(base)) = tree.get_mut("self_hosted") else {
            return Err(self.place(Refusal::new(key, "there is no [self_hosted] to vary")));
        };
        let alternatives = base.remove("alternative");
        let chosen = match alternatives {
            Some(Value::Array(mut all)) if index < all.len() => all.swap_remove(index),
            Some(_) | None => {
                return Err(self.place(Refusal::new(key, "there is no such alternative")));
            }
        };
        if let Value::Table(mut over) = chosen {
            over.remove("name");
            lay_over(base, over);
        }
        from_tree(tree).map_err(|refusal| {
            self.place(Refusal {
                key,
                problem: refusal.problem,
                hint: refusal.hint,
            })
        })
    }
}

impl Document {
    /// The same scenario with its throughput taken from another study folder.
    pub fn with_results(mut self, folder: &str) -> Result<Self, ScenarioError> {
        let mut tree = self.tree.clone();
        let Some(Value::Table(section)) = tree.get_mut("self_hosted") else {
            let problem = "there is no [self_hosted] whose throughput a study could give";
            return Err(self.place(Refusal::new("", problem)));
        };
        let mut over = Table::new();
        over.insert("results".to_owned(), Value::String(folder.to_owned()));
        lay_over(section, over);
        let scenario = from_tree(tree.clone()).map_err(|refusal| self.place(refusal))?;
        self.scenario = scenario;
        self.tree = tree;
        Ok(self)
    }

    /// Whether the file states a dotted key.
    pub(crate) fn states(&self, key: &str) -> bool {
        let mut parts = key.split('.');
        let first = parts.next().and_then(|part| self.tree.get(part));
        parts
            .try_fold(first, |value, part| {
                let inner = match value? {
                    Value::Table(table) => table.get(part),
                    Value::Array(items) => part.parse().ok().and_then(|i: usize| items.get(i)),
                    Value::String(_)
                    | Value::Integer(_)
                    | Value::Float(_)
                    | Value::Boolean(_)
                    | Value::Datetime(_) => None,
                };
                Some(inner)
            })
            .flatten()
            .is_some()
    }
}

/// Whether a self-hosted alternative states a throughput of its own.
pub(crate) fn states_throughput(document: &Document, index: usize) -> bool {
    document
        .tree
        .get("self_hosted")
        .and_then(|section| section.get("alternative")?.get(index)?.as_table())
        .is_some_and(|table| THROUGHPUT_KEYS.iter().any(|key| table.contains_key(*key)))
}

/// Whether a dotted key is a throughput of the self-hosted side.
pub(crate) fn is_throughput(key: &str) -> bool {
    key.strip_prefix("self_hosted.")
        .is_some_and(|key| THROUGHPUT_KEYS.contains(&key))
}

/// Lays the keys of one section over another; tables are merged, everything else is replaced.
fn lay_over(base: &mut Table, over: Table) {
    for group in [&RATE_KEYS[..], &THROUGHPUT_KEYS[..], &POWER_KEYS[..]] {
        if group.iter().any(|key| over.contains_key(*key)) {
            // What both state is merged below.
            base.retain(|key, _| !group.contains(&key) || over.contains_key(key));
        }
    }
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => lay_over(inner, value),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Sets one dotted key; positions in lists are numbers, tables on the way are made.
fn set(tree: &mut Table, key: &str, value: &Value) -> Result<(), Refusal> {
    let mut parts: Vec<&str> = key.split('.').collect();
    let Some(last) = parts.pop() else {
        return Ok(());
    };
    let mut table = tree;
    let mut parts = parts.into_iter();
    while let Some(part) = parts.next() {
        let inner = table
            .entry(part)
            .or_insert_with(|| Value::Table(Table::new()));
        table = match inner {
            Value::Table(inner) => inner,
            Value::Array(items) => {
                let item = parts
                    .next()
                    .and_then(|index| index.parse::<usize>().ok())
                    .and_then(|index| items.get_mut(index))
                    .and_then(Value::as_table_mut);
                let Some(item) = item else {
                    let problem = format!("`{key}` names no entry of `{part}`");
                    return Err(Refusal::new("", problem)
                        .with_hint(format!("write {part}.0 for the first entry")));
                };
                item
            }
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => {
                return Err(Refusal::new("", format!("`{part}` in `{key}` is no table")));
            }
        };
    }
    table.insert(last.to_owned(), value.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[traffic]
requests_per_day = 10
user_tokens = 5
output_tokens = 7
[api]
input_usd_per_mtok = 1
output_usd_per_mtok = 2
[[api.route]]
share = 0.5
input_usd_per_mtok = 0.1
output_usd_per_mtok = 0.2
[self_hosted]
usd_per_gpu_hour = 2
output_tokens_per_second = 100
staff = { fte = 0.5 }
[[self_hosted.alternative]]
name = "owned"
gpus_per_replica = 1
staff = { usd_per_year = 100000 }
[self_hosted.alternative.owned]
[[what_if]]
name = "half"
set = { "traffic.requests_per_day" = 5, "api.route.0.share" = 0.25, "traffic.retrieval.chunks" = 3 }
[[what_if]]
name = "slip"
set = { "traffic.request_per_day" = 5 }
"#;

    fn document() -> Document {
        Document::parse(TEXT).unwrap()
    }

    #[test]
    fn a_what_if_sets_dotted_keys() {
        let document = document();
        let scenario = document
            .with_what_if(0, &document.scenario.what_if[0])
            .unwrap();
        assert_eq!(scenario.traffic.requests_per_day, Some(5.0));
        assert_eq!(scenario.api.unwrap().route[0].share, Some(0.25));
        assert!((scenario.traffic.retrieval.unwrap().chunks - 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_what_if_is_checked_like_the_file() {
        let document = document();
        let error = document
            .with_what_if(1, &document.scenario.what_if[1])
            .unwrap_err();
        assert_eq!((error.line, error.column), (27, 1));
        assert!(error.problem.contains("unknown key `request_per_day`"));
        assert_eq!(
            error.hint.as_deref(),
            Some("did you mean `requests_per_day`?")
        );
    }

    #[test]
    fn an_alternative_replaces_the_rate_and_keeps_the_rest() {
        let host = document().with_alternative(0).unwrap().self_hosted.unwrap();
        assert_eq!(host.usd_per_gpu_hour, None);
        assert_eq!(host.owned.unwrap().gpus, 8);
        assert_eq!(host.output_tokens_per_second, Some(100.0));
        assert_eq!((host.staff.fte, host.staff.usd_per_year), (0.5, 100_000.0));
        assert_eq!(host.gpus_per_replica, Some(1));
    }

    #[test]
    fn an_alternative_of_bought_cards_keeps_what_it_does_not_state() {
        let text = "[traffic]\nrequests_per_day = 10\nuser_tokens = 5\noutput_tokens = 7\n[self_hosted]\noutput_tokens_per_second = 100\nowned = { purchase_usd = 100000, gpus = 4, usd_per_kwh = 0.3 }\n[[self_hosted.alternative]]\nowned = { colocation_usd_per_kw_month = 180 }\n";
        let scenario = Document::parse(text).unwrap().with_alternative(0).unwrap();
        let owned = scenario.self_hosted.unwrap().owned.unwrap();
        assert_eq!((owned.purchase_usd, owned.gpus), (100_000.0, 4));
        assert_eq!(owned.usd_per_kwh, None);
        assert_eq!(owned.colocation_usd_per_kw_month, Some(180.0));
    }
}
