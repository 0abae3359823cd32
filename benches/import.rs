//! Reading a public price list of the size of the real one, and writing it as a user catalog.

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::civil::date;
use mtok::catalog::import::{Implausible, ImportOptions, litellm};

const EXCERPT: &str = include_str!("../tests/fixtures/prices/litellm-excerpt.json");
/// Entries of the real list.
const ENTRIES: usize = 4_553;

/// The excerpt over and over under new names.
fn list() -> Vec<u8> {
    let excerpt: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(EXCERPT).expect("the excerpt is JSON");
    let mut list = serde_json::Map::new();
    for (place, (name, entry)) in excerpt.iter().cycle().take(ENTRIES).enumerate() {
        list.insert(format!("{name}-{place}"), entry.clone());
    }
    serde_json::to_vec_pretty(&list).expect("a list of values")
}

fn import(criterion: &mut Criterion) {
    let bytes = list();
    let options = ImportOptions {
        as_of: date(2026, 11, 23),
        implausible: Implausible::Quarantine,
    };
    criterion.bench_function("import_litellm", |bencher| {
        bencher.iter(|| {
            let import = litellm::import(&bytes, options).expect("the list can be read");
            toml::to_string(&import.file).expect("a catalog can be written")
        });
    });
}

criterion_group!(benches, import);
criterion_main!(benches);
