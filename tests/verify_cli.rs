//! `mtok verify` on real records that were altered and sealed again: what cannot have been measured is
//! refused by line, block and sensor, and nothing is told from it.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like a test"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use fake_nvml::install::install;
use fake_nvml::script::{Card, Script, Series};
use mtok::record::card::Sensors as Readings;
use mtok::record::observation::{Block, Record};
use mtok::record::store::{Writer, read};
use mtok::units::Nanos;
use tempfile::TempDir;

/// The engine runs on the machine's clock, so that sensors are read while it works.
const ENGINE: &str = "[model]\nload_ms = 1.0\n\
    [time]\nclock = \"machine\"\nprefill_us = 5000.0\nprefill_us_per_token = 0.0\nstep_us = 5000.0\n\
    [peaks]\nread_bytes_per_second = 0.5e12\n";

/// One point, and a block of 10 s of each phase.
const STUDY: &str = "[sweep]\nprecision = [\"bf16\"]\nbatch = [2]\nisl = [16]\nosl = [32]\n\
    [measure]\nmin_blocks = 2\nmax_blocks = 2\nmin_block_seconds = 0.2\nmax_seconds = 20\n\
    warmup_seconds = 0\nlaunches = 1\ntarget_ci = 0.9\nenergy = true\n";

/// A study folder of its own.
struct Study {
    folder: TempDir,
}

impl Study {
    /// The records of another study, changed and sealed again.
    fn altered(original: &Path, change: impl FnOnce(&mut Vec<Record>)) -> Self {
        let study = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let mut records = read(&original.join("run.jsonl")).unwrap();
        change(&mut records);
        let mut writer = Writer::create(&study.record()).unwrap();
        writer.append_all(&records).unwrap();
        study
    }

    fn record(&self) -> PathBuf {
        self.folder.path().join("run.jsonl")
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// What `mtok verify` says of a record that it passes.
    #[track_caller]
    fn passes(&self) -> String {
        let output = mtok(&["verify", self.path()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(mtok(&["report", self.path()]).status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `mtok verify` says of a record whose sensors read what cannot be. The rest was paid for, so that
    /// it is told, with a warning.
    #[track_caller]
    fn is_doubted(&self) -> String {
        let verified = mtok(&["verify", self.path()]);
        assert_eq!(verified.status.code(), Some(6), "{verified:?}");
        let reported = mtok(&["report", self.path()]);
        assert_eq!(reported.status.code(), Some(0), "{reported:?}");
        let warned = String::from_utf8_lossy(&reported.stderr);
        let expected = "warning: the record does not verify: ";
        assert!(warned.starts_with(expected), "{warned}");
        let said = String::from_utf8(verified.stderr).unwrap();
        self.tells_what_is_implausible(&said);
        said
    }

    /// Every form of the report doubts what `mtok verify` has `said`, in its words, and says what to do.
    #[track_caller]
    fn tells_what_is_implausible(&self, said: &str) {
        let first = said.lines().next().unwrap();
        let (_, seen) = first.split_once("run.jsonl:").unwrap();
        let (_, seen) = seen.split_once(": ").unwrap();
        let printed = mtok(&["report", self.path(), "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
        let doubts = json["warnings"].as_array().unwrap().iter();
        let mut doubts = doubts.filter(|doubt| doubt["code"] == "implausible_readings");
        let told = |doubt: &serde_json::Value| {
            let remedy = doubt["remedy"].as_str().unwrap();
            doubt["message"].as_str().unwrap().starts_with(seen) && remedy.contains("mtok verify")
        };
        assert!(doubts.any(told), "{seen}: {}", json["warnings"]);
        for (report, escaped) in [
            ("report.md", seen.to_owned()),
            ("report.html", seen.replace('\'', "&#39;")),
        ] {
            let text = std::fs::read_to_string(self.folder.path().join(report)).unwrap();
            assert!(text.contains("implausible_readings"), "{report}");
            assert!(text.contains(&escaped), "{escaped}: {report} {text}");
        }
    }

    /// What `mtok verify` says of a record that it refuses, as every verb does that tells from records.
    #[track_caller]
    fn is_refused(&self) -> String {
        let output = mtok(&["verify", self.path()]);
        assert_eq!(output.status.code(), Some(6), "{output:?}");
        let report = self.folder.path().join("report.md");
        std::fs::write(&report, "as it was").unwrap();
        for arguments in [
            vec!["report", self.path()],
            vec!["report", self.path(), "--json"],
            vec!["report", self.path(), "--check"],
            vec!["compare", self.path(), self.path()],
            vec!["compare", self.path(), "--save-baseline", "altered"],
        ] {
            let output = mtok(&arguments);
            assert_eq!(output.status.code(), Some(6), "{arguments:?} {output:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                said.contains("hint: nothing is told from such a record"),
                "{said}"
            );
        }
        assert_eq!(std::fs::read_to_string(&report).unwrap(), "as it was");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn mtok(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtok"));
    // Baselines of these tests are nobody's.
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verify");
    command.args(arguments).env("XDG_DATA_HOME", data);
    command.output().unwrap()
}

/// The committed study of the small model.
fn on_a_processor() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results/tiny-cpu")
}

/// A study on a card that draws 400 of 700 W, measured once for all tests.
fn on_a_card() -> &'static Path {
    static MEASURED: OnceLock<PathBuf> = OnceLock::new();
    MEASURED.get_or_init(|| {
        // Nobody drops what is static, so the next tests take its place.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verify-on-a-card");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let output = measure(&folder, Card::working(), STUDY);
        assert!(output.status.success(), "{output:?}");
        folder
    })
}

/// What `mtok run` says of a study of a card in this folder.
fn measure(folder: &Path, card: Card, study: &str) -> Output {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let script = Script {
        cards: vec![card],
        ..Script::default()
    };
    install(folder, &script, &[]).unwrap();
    std::fs::write(path("engine.toml"), ENGINE).unwrap();
    std::fs::write(path("asked.toml"), study).unwrap();
    let engine = format!("sim:{}", path("engine.toml"));
    Command::new(env!("CARGO_BIN_EXE_mtok"))
        .args(["run", &path("asked.toml"), "--engine", &engine])
        .args(["--out", folder.to_str().unwrap()])
        .env_remove("MTOK_NVML_LIBRARY")
        .env("LD_LIBRARY_PATH", folder)
        .output()
        .unwrap()
}

/// The last block and its line.
fn last_block(records: &mut [Record]) -> (usize, &mut Block) {
    let blocks = records.iter_mut().enumerate();
    let mut last = blocks.filter_map(|(at, record)| match record {
        Record::Block(block) => Some((at + 1, block.as_mut())),
        _ => None,
    });
    last.next_back().unwrap()
}

/// Every reading of a sensor multiplied.
fn multiply(readings: &mut Readings, sensor: &str, times: f64) {
    for reading in readings.columns.get_mut(sensor).unwrap() {
        *reading = reading.map(|value| (value as f64 * times) as u64);
    }
}

/// The readings as though none had come late: power is integrated over no gap, which a busy machine leaves.
fn in_step(readings: &mut Readings) {
    let (first, last) = (readings.at_ns[0], *readings.at_ns.last().unwrap());
    let (count, whole) = (
        readings.at_ns.len() as u64 - 1,
        last.value() - first.value(),
    );
    for (at, n) in readings.at_ns.iter_mut().zip(0..) {
        *at = Nanos::new(first.value() + whole * n / count);
    }
}

/// One reading in the middle of a column.
fn one_of<'r>(readings: &'r mut Readings, sensor: &str) -> &'r mut Option<u64> {
    let column = readings.columns.get_mut(sensor).unwrap();
    let middle = column.len() / 2;
    &mut column[middle]
}

#[test]
fn records_as_they_were_measured_verify() {
    let told = Study::altered(on_a_card(), |_| {}).passes();
    assert!(
        told.ends_with(" records, intact, 2 of 2 energies derivable\n"),
        "{told}"
    );
    let told = Study::altered(&on_a_processor(), |_| {}).passes();
    assert!(told.ends_with(" records, intact\n"), "{told}");
}

#[test]
fn a_reading_that_no_card_gives_is_refused_by_line_block_and_sensor() {
    for (sensor, value, most) in [
        ("gpu_utilization_percent", 250_u64, 100_u64),
        ("sm_clock_mhz", 99_999, 2_640),
        ("power_instant_mw", 4_000_000, 2_100_000),
        ("memory_used_bytes", 855_208_099_840, 85_520_809_984),
        ("gpm_tensor_activity_permille", 5_000, 1_010),
    ] {
        let mut expected = String::new();
        let study = Study::altered(on_a_card(), |records| {
            let (line, block) = last_block(records);
            expected = format!(
                "run.jsonl:{line}: block of {} Energy in round {}: {sensor} reads {value}, and {most} is the most that can be",
                block.point, block.round
            );
            *one_of(block.sensors.as_mut().unwrap(), sensor) = Some(value);
        });
        let said = study.is_doubted();
        assert!(said.contains(&expected), "{expected}\n{said}");
    }
}

#[test]
fn readings_around_the_work_are_held_against_the_card_too() {
    let study = Study::altered(on_a_card(), |records| {
        let Some(Record::End(end)) = records.last_mut() else {
            panic!("a run ends with its end")
        };
        *one_of(end.after.as_mut().unwrap(), "temperature_c") = Some(900);
        for record in records {
            if let Record::Device(device) = record {
                let before = device.before.as_mut().unwrap();
                *one_of(before, "power_mw") = Some(7_000_000);
            }
        }
    });
    let said = study.is_doubted();
    for expected in [
        "the card before the first worker: power_mw reads 7000000",
        "the card after the last worker: temperature_c reads 900",
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn what_was_just_measured_is_told_even_when_a_sensor_reads_what_cannot_be() {
    let mut card = Card::working();
    card.sensors.sm_clock_mhz = Series::Constant(99_999);
    let folder = tempfile::tempdir().unwrap();
    let study = STUDY.replace("energy = true", "energy = false");
    let ran = measure(folder.path(), card, &study);
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(
        said.contains("warning: the record does not verify: "),
        "{said}"
    );
    assert!(said.contains("sm_clock_mhz reads 99999"), "{said}");
    assert!(said.contains("hint: mtok verify "), "{said}");
    let report = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
    assert!(report.contains("bf16"), "{report}");
    let verified = mtok(&["verify", folder.path().to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(6));
}

#[test]
fn an_energy_that_the_card_cannot_have_drawn_is_refused() {
    let study = Study::altered(on_a_card(), |records| {
        let (_, block) = last_block(records);
        let readings = block.sensors.as_mut().unwrap();
        in_step(readings);
        for sensor in ["energy_mj", "power_instant_mw"] {
            multiply(readings, sensor, 2.5);
        }
    });
    let said = study.is_doubted();
    assert!(said.contains(": energy_mj comes to "), "{said}");
    let expected = " W in the mean, and the card's limit is 700 W";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_counter_that_power_contradicts_is_refused() {
    let study = Study::altered(on_a_card(), |records| {
        let (_, block) = last_block(records);
        let readings = block.sensors.as_mut().unwrap();
        in_step(readings);
        multiply(readings, "energy_mj", 0.01);
    });
    let said = study.is_doubted();
    assert!(said.contains(": energy_mj rises by 4"), "{said}");
    assert!(
        said.contains(" J, but power_instant_mw comes to 4"),
        "{said}"
    );
}

#[test]
fn a_record_from_which_no_report_follows_is_refused() {
    let study = Study::altered(&on_a_processor(), |records| {
        for record in records {
            if let Record::Session(session) = record {
                session.study.price.gpu = Some("zzz".to_owned());
            }
        }
    });
    let said = study.is_refused();
    assert!(said.contains("no report follows: "), "{said}");
    assert!(said.contains("zzz"), "{said}");
}

#[test]
fn a_block_that_would_count_twice_is_refused() {
    let study = Study::altered(&on_a_processor(), |records| {
        let (line, block) = last_block(records);
        let copy = Record::Block(Box::new(block.clone()));
        records.insert(line, copy);
    });
    let said = study.is_refused();
    assert!(said.contains("begins before the one before it"), "{said}");
}

#[test]
fn a_record_without_an_end_is_that_of_an_interrupted_run() {
    let told = Study::altered(&on_a_processor(), |records| {
        records.pop();
    })
    .passes();
    assert!(
        told.ends_with("no end: interrupted, still valid\n"),
        "{told}"
    );
}

#[test]
fn nothing_is_told_from_a_record_whose_chain_is_broken() {
    let study = Study::altered(&on_a_processor(), |_| {});
    let text = std::fs::read_to_string(study.record()).unwrap();
    let changed = text.replacen("\"batch\":4", "\"batch\":1", 1);
    assert_ne!(text, changed);
    std::fs::write(study.record(), changed).unwrap();
    let said = study.is_refused();
    assert!(
        said.contains("the line is not what its sum was taken of"),
        "{said}"
    );
    // A decision that would rest on it is none.
    let scenario =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("results/tiny-breakeven/scenario.toml");
    let scenario = scenario.to_str().unwrap();
    let output = mtok(&["breakeven", scenario, "--results", study.path()]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("the line is not what its sum was taken of"),
        "{said}"
    );
}
