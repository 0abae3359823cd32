//! deny.toml against the dependency tree, without a network: licences, bans and sources.
//!
//! `cargo deny` checks the same and more, and the gate runs it where it is installed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::process::Command;

use serde::Deserialize;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

fn deny() -> Deny {
    toml::from_str(include_str!("../deny.toml")).unwrap()
}

/// Every package that any build for this platform can contain, by Cargo.lock.
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    let built: BTreeSet<String> = metadata.resolve.nodes.into_iter().map(|n| n.id).collect();
    let packages: Vec<Package> = metadata
        .packages
        .into_iter()
        .filter(|package| built.contains(&package.id))
        .collect();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    packages
}

#[test]
fn every_licence_is_one_that_is_allowed() {
    let allowed = deny().licenses.allow;
    let wrong: Vec<String> = packages()
        .iter()
        .filter(|package| {
            let licence = package.license.as_deref();
            !licence.is_some_and(|licence| is_allowed(licence, &allowed))
        })
        .map(|package| format!("{}: {:?}", package.name, package.license))
        .collect();
    assert!(wrong.is_empty(), "not allowed by deny.toml: {wrong:#?}");
}

#[test]
fn nothing_that_is_banned_is_used() {
    let banned: BTreeSet<String> = deny().bans.deny.into_iter().map(|b| b.name).collect();
    assert!(banned.contains("openssl-sys"));
    let found: Vec<String> = packages()
        .into_iter()
        .map(|package| package.name)
        .filter(|name| banned.contains(name))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_crate_comes_from_the_registry_or_from_here() {
    let sources = deny().sources;
    assert_eq!(
        [sources.unknown_registry.as_str(), &sources.unknown_git],
        ["deny", "deny"]
    );
    let wrong: Vec<String> = packages()
        .into_iter()
        .filter(|package| {
            package
                .source
                .as_deref()
                .is_some_and(|from| from != REGISTRY)
        })
        .map(|package| package.id)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let own: BTreeSet<String> = packages()
        .into_iter()
        .filter(|package| package.source.is_none())
        .map(|package| package.name)
        .collect();
    assert_eq!(
        own,
        BTreeSet::from(["fake-nvml", "mtok", "mtok-fuzz"].map(str::to_owned))
    );
}

#[test]
fn every_build_of_the_scripts_is_locked() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| resolves(line)) {
            seen += 1;
            assert!(line.contains("--locked"), "{}: {line}", path.display());
        }
    }
    assert!(
        seen >= 4,
        "only {seen} builds were found; the scan is broken"
    );
}

/// Whether a line of a script runs a command of cargo that could resolve dependencies anew.
fn resolves(line: &str) -> bool {
    const VERBS: [&str; 8] = [
        "build", "clippy", "test", "bench", "doc", "run", "check", "metadata",
    ];
    let code = line.trim_start();
    let quoted = code.starts_with('#') || code.starts_with("missing");
    !quoted
        && code
            .split_once("cargo ")
            .is_some_and(|(_, rest)| VERBS.contains(&rest.split(' ').next().unwrap_or_default()))
}

/// Whether an SPDX expression is satisfied by allowed licences; AND binds tighter than OR.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let answer = any(&mut rest, allowed);
    answer && rest.is_empty()
}

fn any(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut answer = all(words, allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        answer |= all(words, allowed);
    }
    answer
}

fn all(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut answer = one(words, allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        answer &= one(words, allowed);
    }
    answer
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let answer = any(words, allowed);
            let [")", rest @ ..] = *words else {
                return false;
            };
            *words = rest;
            answer
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            allowed.contains(&format!("{licence} WITH {exception}"))
        }
        [licence, rest @ ..] => {
            *words = rest;
            allowed.contains(*licence)
        }
        [] => false,
    }
}

#[test]
fn an_expression_is_read_as_spdx_means_it() {
    let allowed =
        BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(String::from));
    for (expression, answer) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT OR ISC", true),
        ("GPL-3.0 AND (MIT OR ISC)", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
        ("", false),
        ("MIT ISC", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), answer, "{expression}");
    }
}
