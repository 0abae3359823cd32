//! `mtok run` from the outside: the exit code of every end that it can come to, and what each leaves behind.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which clippy only sees inside test functions"
)]

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A device on the machine's clock: 20 ms per generation of the study.
const ENGINE: &str = "[model]\nload_ms = 1.0\n\
    [time]\nclock = \"machine\"\nprefill_us = 5000.0\nprefill_us_per_token = 0.0\nstep_us = 5000.0\n";
/// The same that fails at its limits.
const NO_LIMITS: &str = "[[fault]]\nkind = \"panic\"\nat = \"peaks\"\n";

/// A folder with an engine, where runs go.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: TempDir::new().unwrap(),
        };
        place.write("engine.toml", ENGINE);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A study of `blocks` blocks of a tenth of a second each.
    fn ask_for(&self, blocks: u32) {
        let study = format!(
            "[sweep]\nprecision = [\"bf16\"]\nbatch = [1]\nisl = [16]\nosl = [4]\n\
             [measure]\nmin_blocks = {blocks}\nmax_blocks = {blocks}\nmin_block_seconds = 0.1\n\
             max_seconds = 60\nwarmup_seconds = 0\nlaunches = 1\ntarget_ci = 0.9\n"
        );
        self.write("study.toml", &study);
    }

    /// The command line of a run of the study.
    fn arguments(&self, flags: &[&str]) -> Vec<String> {
        let of = |name: &str| self.path(name).display().to_string();
        let engine = format!("sim:{}", of("engine.toml"));
        let run = ["run", &of("study.toml"), "--engine", &engine];
        let all = run.into_iter().chain(["--out", "out"]);
        all.chain(flags.iter().copied())
            .map(str::to_owned)
            .collect()
    }

    /// Runs what `arguments` say in the folder.
    fn mtok(&self, arguments: &[String]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mtok"));
        command.args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn run(&self, flags: &[&str]) -> Ran {
        Ran::from(self.mtok(&self.arguments(flags)))
    }

    /// Starts a run and waits until it has stored a block.
    fn run_until_a_block_is_there(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mtok"));
        command.args(self.arguments(&[])).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.current_dir(self.folder.path()).spawn().unwrap();
        while self.count("block") == 0 {
            assert_eq!(child.try_wait().unwrap(), None, "it ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }

    /// Records of a type in the file of facts.
    fn count(&self, kind: &str) -> usize {
        let text = std::fs::read_to_string(self.path("out/run.jsonl")).unwrap_or_default();
        text.matches(&format!("\"type\":\"{kind}\"")).count()
    }

    /// The status of the one point.
    fn status(&self) -> String {
        let points = std::fs::read_to_string(self.path("out/points.csv")).unwrap();
        let row = points.lines().nth(1).unwrap();
        row.split(',').next().unwrap().to_owned()
    }

    #[track_caller]
    fn verifies(&self) {
        let output = self.mtok(&["verify".to_owned(), "out".to_owned()]);
        assert!(output.status.success(), "{output:?}");
    }
}

/// How a run ended.
struct Ran {
    code: Option<i32>,
    said: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            said: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[track_caller]
fn ends_with(ran: &Ran, code: i32) {
    assert_eq!(ran.code, Some(code), "{}", ran.said);
}

/// A run that a signal ends seals what it has, and is finished by the next one.
#[track_caller]
fn a_signal_seals(signal: Signal, code: i32) {
    let place = Place::new();
    place.ask_for(20);
    let mut child = place.run_until_a_block_is_there();
    kill_process(Pid::from_child(&child), signal).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(code));
    assert_eq!(place.count("end"), 1);
    assert_eq!(place.status(), "interrupted");
    place.verifies();
    assert!(place.count("block") < 20);
    ends_with(&place.run(&["--resume"]), 0);
    // All that were asked for, and the one that shows drift.
    assert_eq!(place.count("block"), 21);
    assert_eq!(place.status(), "ok");
    place.verifies();
}

#[test]
fn an_interrupt_ends_with_130_and_a_record_that_verifies() {
    a_signal_seals(Signal::INT, 130);
}

#[test]
fn a_termination_ends_with_143_and_a_record_that_verifies() {
    a_signal_seals(Signal::TERM, 143);
}

#[test]
fn a_terminal_that_is_closed_ends_with_143_and_a_record_that_verifies() {
    a_signal_seals(Signal::HUP, 143);
}

#[test]
fn a_folder_that_another_run_writes_is_75_before_anything_else() {
    let place = Place::new();
    place.ask_for(2);
    std::fs::create_dir(place.path("out")).unwrap();
    place.write("out/run.jsonl", "");
    let held = OpenOptions::new()
        .append(true)
        .open(place.path("out/run.jsonl"))
        .unwrap();
    held.lock().unwrap();
    ends_with(&place.run(&[]), 75);
    ends_with(&place.run(&["--resume"]), 75);
    ends_with(&place.run(&["--model", "dir:nowhere"]), 75);
    ends_with(&place.run(&["--gpu", "nope"]), 75);
    place.write("study.toml", "[sweep]\nbatch = [0]\n");
    let ran = place.run(&[]);
    ends_with(&ran, 75);
    assert!(ran.said.contains("another run"), "{}", ran.said);
    drop(held);
    ends_with(&place.run(&[]), 3);
}

#[test]
fn a_folder_that_holds_a_run_is_9_after_what_is_wrong_with_study_and_model() {
    let place = Place::new();
    place.ask_for(2);
    ends_with(&place.run(&[]), 0);
    let facts = std::fs::read(place.path("out/run.jsonl")).unwrap();
    ends_with(&place.run(&["--model", "dir:nowhere"]), 4);
    ends_with(&place.run(&["--gpu", "nope"]), 3);
    let ran = place.run(&[]);
    ends_with(&ran, 9);
    assert!(ran.said.contains("--resume"), "{}", ran.said);
    assert_eq!(std::fs::read(place.path("out/run.jsonl")).unwrap(), facts);
}

#[test]
fn of_several_things_that_are_wrong_the_first_in_the_order_of_exit_codes_counts() {
    let place = Place::new();
    place.ask_for(2);
    ends_with(&place.run(&[]), 0);
    let facts = std::fs::read_to_string(place.path("out/run.jsonl")).unwrap();
    place.write("file", "");
    for (folder, record) in [
        ("newer", facts.replace("\"schema\":3", "\"schema\":999")),
        ("altered", facts.replacen("\"round\":0", "\"round\":1", 1)),
    ] {
        assert_ne!(record, facts);
        std::fs::create_dir(place.path(folder)).unwrap();
        place.write(&format!("{folder}/run.jsonl"), &record);
    }
    for (code, asked) in [
        // The study, or a record that is not gone on with, before the model, the device and the folder.
        (3, "--out out --gpu nope --model dir:nowhere"),
        (3, "--out out --gpu nope --device cuda:77"),
        (3, "--out newer --resume --model dir:nowhere"),
        (3, "--out newer --resume --device cuda:77"),
        (3, "--out out --resume --device cuda:77"),
        (3, "--out out --resume --seed 77 --require-telemetry"),
        // The model before the device and the folder.
        (4, "--out out --model dir:nowhere --device cuda:77"),
        (4, "--out file --model dir:nowhere"),
        // The device and its telemetry before the folder.
        (5, "--out out --device cuda:77"),
        (5, "--out out --require-telemetry"),
        (5, "--out file --device cuda:77"),
        (5, "--out altered --resume --device cuda:77"),
        // The folder before a record that does not verify.
        (9, "--out out"),
        (9, "--out altered"),
        (9, "--out file"),
        (6, "--out altered --resume"),
    ] {
        let line = format!("run study.toml {asked}");
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let ran = Ran::from(place.mtok(&arguments));
        assert_eq!(ran.code, Some(code), "{asked}: {}", ran.said);
    }
    let after = std::fs::read_to_string(place.path("out/run.jsonl")).unwrap();
    assert_eq!(after, facts);
}

#[test]
fn a_disk_that_is_full_in_mid_run_is_9_and_the_run_goes_on_later() {
    let place = Place::new();
    place.ask_for(20);
    // A file may grow to 8 KiB and no further, as on a disk that ends there.
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let mut shell = Command::new("bash");
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_mtok")]);
    shell.args(place.arguments(&[])).stdin(Stdio::null());
    let ran = Ran::from(shell.current_dir(place.folder.path()).output().unwrap());
    ends_with(&ran, 9);
    assert!(ran.said.contains("run.jsonl"), "{}", ran.said);
    let stored = place.count("block");
    assert!(stored > 0 && stored < 20, "{stored}");
    place.verifies();
    ends_with(&place.run(&["--resume"]), 0);
    assert_eq!(place.count("end"), 1);
    place.verifies();
}

#[test]
fn a_record_that_was_altered_is_not_gone_on_with() {
    let place = Place::new();
    place.ask_for(2);
    ends_with(&place.run(&[]), 0);
    let facts = std::fs::read_to_string(place.path("out/run.jsonl")).unwrap();
    let altered = facts.replacen("\"round\":0", "\"round\":1", 1);
    assert_ne!(altered, facts);
    place.write("out/run.jsonl", &altered);
    let ran = place.run(&["--resume"]);
    ends_with(&ran, 6);
    assert!(ran.said.contains("run.jsonl:"), "{}", ran.said);
    assert!(ran.said.contains("hint: "), "{}", ran.said);
    let after = std::fs::read_to_string(place.path("out/run.jsonl")).unwrap();
    assert_eq!(after, altered);
}

#[test]
fn a_device_whose_limits_cannot_be_measured_is_measured_all_the_same() {
    let place = Place::new();
    place.ask_for(2);
    place.write("engine.toml", &format!("{ENGINE}{NO_LIMITS}"));
    let ran = place.run(&[]);
    ends_with(&ran, 0);
    assert!(
        ran.said.contains("the limits are not known"),
        "{}",
        ran.said
    );
    assert_eq!(place.count("peak"), 0);
    assert!(place.count("block") >= 2);
    place.write("engine.toml", ENGINE);
    ends_with(&place.run(&["--resume"]), 0);
    assert!(place.count("peak") > 0);
    place.verifies();
}

#[test]
fn a_point_that_time_cut_short_is_said_to_be_interrupted_and_the_rest_skipped() {
    let place = Place::new();
    // By the script's clock 20 blocks of 10 s, of which 2 minutes are enough for some.
    place.write("engine.toml", &ENGINE.replace("clock = \"machine\"\n", ""));
    let study = "[sweep]\nprecision = [\"bf16\", \"q8_0\"]\nbatch = [1]\nisl = [16]\nosl = [4]\n\
        [measure]\nmin_blocks = 20\nmax_blocks = 20\nmin_block_seconds = 10\nmax_seconds = 600\n\
        warmup_seconds = 0\nlaunches = 1\ntarget_ci = 0.9\n";
    place.write("study.toml", study);
    for flags in [
        vec!["--max-minutes", "2"],
        // What an earlier session began stays begun, even where this one has no time for it.
        vec!["--max-minutes", "0.0001", "--resume"],
    ] {
        let ran = place.run(&flags);
        ends_with(&ran, 0);
        let interrupted = "interrupted bf16 b1 16/4: the time asked for was used up after ";
        assert!(ran.said.contains(interrupted), "{}", ran.said);
        let skipped = "skipped q8_0 b1 16/4: the time asked for was used up before it";
        assert!(ran.said.contains(skipped), "{}", ran.said);
        assert_eq!(place.status(), "interrupted");
    }
}

#[test]
fn a_reader_that_goes_away_does_not_hide_how_the_run_ended() {
    let place = Place::new();
    place.ask_for(2);
    let fault = "[[fault]]\nkind = \"oom\"\nat = \"generate\"\n";
    place.write("engine.toml", &format!("{ENGINE}{fault}"));
    let mut shell = Command::new("bash");
    let piped = "\"$0\" \"$@\" | true; exit \"${PIPESTATUS[0]}\"";
    shell.args(["-c", piped, env!("CARGO_BIN_EXE_mtok")]);
    shell.args(place.arguments(&[])).stdin(Stdio::null());
    let ran = Ran::from(shell.current_dir(place.folder.path()).output().unwrap());
    ends_with(&ran, 8);
}

#[test]
fn a_plan_looks_at_the_price_before_the_model() {
    let place = Place::new();
    let plan = |line: &str| {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Ran::from(place.mtok(&arguments))
    };
    ends_with(&plan("plan --gpu nope --model dir:/nope"), 3);
    ends_with(&plan("plan --gpu h100-sxm --model dir:/nope"), 4);
}

#[test]
fn a_plan_for_a_card_is_the_same_where_the_device_is_left_to_mtok() {
    let place = Place::new();
    let plan = |more: &str| {
        let line = format!("plan --model tiny --gpu h100-sxm{more}");
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        String::from_utf8(place.mtok(&arguments).stdout).unwrap()
    };
    assert!(plan("").contains("bf16 b1 "));
    assert_eq!(plan(" --device auto"), plan(""));
}

#[test]
fn a_run_that_cannot_begin_leaves_no_folder() {
    let place = Place::new();
    let run = |more: &str| {
        let line = format!("run --out out {more}");
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Ran::from(place.mtok(&arguments))
    };
    ends_with(&run("--device cuda:77"), 5);
    ends_with(&run("--model dir:nowhere"), 4);
    assert!(!place.path("out").exists());
    File::create(place.path("out")).unwrap();
    ends_with(&run("--model tiny"), 9);
}

#[test]
fn a_run_that_skips_every_point_says_so_and_is_refused_when_strict() {
    let place = Place::new();
    place.ask_for(2);
    let mut arguments = place.arguments(&["--isl", "100000", "--json"]);
    let output = place.mtok(&arguments);
    assert!(output.status.success(), "{output:?}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["points"][0]["status"], "skipped");
    let warnings = answer["warnings"].as_array().unwrap().iter();
    let codes: Vec<&str> = warnings.map(|it| it["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"nothing_measured"), "{codes:?}");
    arguments.extend(["--resume", "--strict"].map(str::to_owned));
    assert_eq!(place.mtok(&arguments).status.code(), Some(6));
}

#[test]
fn a_run_on_one_processor_takes_one_thread_and_is_priced_so() {
    let place = Place::new();
    place.write(
        "tiny.toml",
        "[sweep]\nprecision = [\"f32\"]\nbatch = [1]\nisl = [8]\nosl = [4]\n\
         [measure]\nmin_blocks = 2\nmax_blocks = 2\nmin_block_seconds = 0.01\nmax_seconds = 1\n\
         warmup_seconds = 0\nlaunches = 1\n",
    );
    let mut command = Command::new("taskset");
    command.args(["-c", "0", env!("CARGO_BIN_EXE_mtok"), "run", "tiny.toml"]);
    command
        .args(["--out", "out"])
        .current_dir(place.folder.path());
    command.env_remove("RAYON_NUM_THREADS").stdin(Stdio::null());
    // Without util-linux the unit test of the worker's command has to do.
    let Ok(output) = command.output() else { return };
    assert!(output.status.success(), "{output:?}");
    let record = std::fs::read_to_string(place.path("out/run.jsonl")).unwrap();
    let lines = record
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let of = |kind: &str| lines.iter().find(|line| line["type"] == kind).unwrap();
    assert_eq!(of("session")["host"]["threads"], 1);
    assert_eq!(of("device")["threads"], 1);
    let report = std::fs::read_to_string(place.path("out/report.md")).unwrap();
    assert!(
        report.contains("cpu-1vcpu") || report.contains("cpu-2vcpu"),
        "{report}"
    );
}
