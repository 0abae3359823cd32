//! Who may import whom: every `crate::` path of the sources against the table of ranks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

/// Module prefixes with their ranks, the longest match counts.
const RANKS: &[(&str, u8)] = &[
    ("units", 0),
    ("clock", 0),
    ("study", 1),
    ("catalog", 1),
    ("record", 2),
    ("study::plan", 3),
    ("metrics", 3),
    ("cost", 4),
    ("report", 5),
    ("record::store", 6),
    ("engine", 6),
    ("telemetry", 6),
    ("measure", 7),
    ("quality", 7),
    ("cli", 8),
];

/// What rank 6 may use, beside itself; rank 7 may use the same and one more.
const EDGE_USES: u8 = 2;
const DRIVER_USES: u8 = 3;

#[test]
fn every_module_imports_only_from_lower_ranks() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in sources(&root) {
        let module = module_of(&root, &file);
        if module.is_empty() {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for path in crate_paths(&text) {
            seen += 1;
            if !allowed(&module, &path) {
                wrong.push(format!("{module} uses crate::{path}"));
            }
        }
    }
    assert!(
        seen > 20,
        "only {seen} crate paths were found; the scan is broken"
    );
    assert!(
        wrong.is_empty(),
        "imports against the ranks:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_scan_sees_an_import_that_is_wrong() {
    let text =
        "use crate::{units::Seconds, engine::{Engine, Trace}};\nfn f(x: crate::cli::Exit) {}";
    let paths = crate_paths(text);
    assert_eq!(paths, ["units::Seconds", "engine", "cli::Exit"]);
    assert!(allowed("metrics::stats", "units::Seconds"));
    assert!(!allowed("metrics::stats", "engine"));
    assert!(!allowed("units", "cli::Exit"));
    assert!(!allowed("engine::decoder", "telemetry::nvml"));
    assert!(allowed("measure::rounds", "engine::Engine"));
    assert!(!allowed("measure::rounds", "engine::decoder::Decoder"));
}

fn allowed(module: &str, used: &str) -> bool {
    let (own, other) = (rank(module), rank(used));
    let (own_folder, other_folder) = (top(module), top(used));
    match own {
        _ if own_folder == other_folder && own == other => true,
        // Two files without a folder: quantities, and the clock that counts in them.
        0 => other == 0,
        // The traits of rank 6 stand in the `mod.rs` of their folder.
        7 => other <= DRIVER_USES || (other == 6 && is_seam(used)),
        6 => other <= EDGE_USES,
        8 => true,
        _ => other < own,
    }
}

/// Whether a path names something that a rank-6 folder itself declares (`engine::Engine`, not
/// `engine::decoder::Decoder`), or the worker's traits and messages.
fn is_seam(used: &str) -> bool {
    let mut parts = used.split("::").skip(1);
    parts
        .next()
        .is_none_or(|name| name == "worker" || name.starts_with(char::is_uppercase))
}

fn rank(path: &str) -> u8 {
    RANKS
        .iter()
        .filter(|(prefix, _)| path == *prefix || path.starts_with(&format!("{prefix}::")))
        .max_by_key(|(prefix, _)| prefix.len())
        .unwrap_or_else(|| panic!("`{path}` has no rank; add it to the table"))
        .1
}

fn top(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// `src/study/plan.rs` is `study::plan`; `lib.rs` and `main.rs` have no rank.
fn module_of(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).unwrap().with_extension("");
    let parts: Vec<_> = relative
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .filter(|part| !matches!(part.as_str(), "mod" | "lib" | "main"))
        .collect();
    parts.join("::")
}

/// Every path after `crate::`, groups in braces taken apart one level deep, comments left out.
fn crate_paths(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut paths = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        if code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[start + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            paths.extend(group_members(group));
        } else {
            paths.push(path_prefix(rest));
        }
    }
    paths
}

fn group_members(group: &str) -> Vec<String> {
    let mut members = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(path_prefix(group[start..at].trim()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(path_prefix(group[start..at].trim()));
                start = at + 1;
            }
            _ => {}
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

/// `engine::{Engine, Trace}` is `engine`; `units::Seconds;` is `units::Seconds`.
fn path_prefix(text: &str) -> String {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(text.len());
    text[..end].trim_end_matches(':').to_owned()
}
