//! Running mtok and holding it to its limits.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::sound;

/// Memory that a refusal may take beyond what a sound model takes.
const MEMORY_KIB: i64 = 64 << 10;
/// Processor time that a refusal may take, of all its processes.
const SECONDS: f64 = 1.0;
/// Its duration, which measures the neighbours too: no more than waiting of its own shall show.
const DURATION: f64 = 5.0;
/// Tries of which one must end in time; waiting of its own would lengthen every one of them.
const TRIES: u32 = 5;

/// Runs a program and says what it and its children took: the system tells a parent, and only of all its
/// children together, so each program gets a parent of its own.
const METER: &str = "import json, resource, subprocess, sys, time
start = time.monotonic()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
duration = time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, done.stdout, done.stderr, used.ru_maxrss, used.ru_utime + used.ru_stime, duration]))";

/// How a program ended and what it took.
#[derive(serde::Deserialize)]
struct Run {
    code: i32,
    data: String,
    talk: String,
    /// Highest resident memory among its processes.
    memory_kib: i64,
    /// Processor time of all its processes.
    seconds: f64,
    /// From its start to its end.
    duration: f64,
}

fn mtok(args: &[&str]) -> Run {
    let metered = Command::new("python3")
        .args(["-c", METER, env!("CARGO_BIN_EXE_mtok")])
        .args(args)
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&metered.stderr);
    serde_json::from_slice(&metered.stdout).unwrap_or_else(|error| panic!("{error}: {talk}"))
}

/// What the plan for a sound model takes, tokenizer included.
fn base_memory() -> i64 {
    static BASE: OnceLock<i64> = OnceLock::new();
    *BASE.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        sound::folder(folder.path());
        let run = mtok(&["plan", "--model", &source("dir", folder.path())]);
        assert_eq!(run.code, 0, "{}", run.talk);
        run.memory_kib
    })
}

/// `dir:PATH` or `gguf:PATH`.
pub(crate) fn source(kind: &str, path: &Path) -> String {
    format!("{kind}:{}", path.display())
}

/// Runs mtok, which must succeed; gives back its data.
#[track_caller]
pub(crate) fn accepted(args: &[&str]) -> String {
    let run = mtok(args);
    assert_eq!(run.code, 0, "{args:?}: {}", run.talk);
    run.data
}

/// Runs mtok, which must refuse with this exit code and words, within the limits.
#[track_caller]
pub(crate) fn refused_with(code: i32, args: &[&str], words: &[&str]) {
    let mut run = mtok(args);
    for _ in 1..TRIES {
        if run.duration < DURATION {
            break;
        }
        run = mtok(args);
    }
    let talk = &run.talk;
    assert_eq!(run.code, code, "{args:?}: {talk}");
    assert_eq!(run.data, "", "data of a refusal: {args:?}");
    let lines: Vec<&str> = talk.lines().collect();
    assert!(lines[0].starts_with("error: "), "{talk}");
    let hinted = lines.len() == 2 && lines[1].starts_with("hint: ");
    assert!(
        hinted || lines.len() == 1,
        "more than an error and a hint: {talk}"
    );
    assert!(
        hinted || lines[0].contains("; ") || code != 4,
        "no remedy: {talk}"
    );
    assert!(!talk.contains("panicked at"), "{talk}");
    for word in words {
        assert!(lines[0].contains(word), "{word:?} is not in: {talk}");
    }
    assert!(run.seconds < SECONDS, "{} s for: {talk}", run.seconds);
    let duration = run.duration;
    assert!(
        duration < DURATION,
        "{duration} s in each of {TRIES} tries for: {talk}"
    );
    let memory = run.memory_kib - base_memory();
    assert!(
        memory < MEMORY_KIB,
        "{memory} KiB more than a sound model for: {talk}"
    );
}

/// Plans with a model, which must be refused.
#[track_caller]
pub(crate) fn refused(model: &str, words: &[&str]) {
    refused_with(4, &["plan", "--model", model], words);
}
