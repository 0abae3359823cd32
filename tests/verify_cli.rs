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
use fake_nvml::script::{Card, ENGINE, Fault, Script, Sensors, Series, Slice};
use mtok::record::card::Sensors as Readings;
use mtok::record::observation::{Block, Record};
use mtok::record::store::{Writer, read};
use mtok::units::Nanos;
use tempfile::TempDir;

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
    MEASURED.get_or_init(|| kept("verify-on-a-card", &with_faults(Card::working(), &[])))
}

/// A study on an L4, measured once for all tests.
fn on_an_l4() -> &'static Path {
    static MEASURED: OnceLock<PathBuf> = OnceLock::new();
    MEASURED.get_or_init(|| kept("verify-on-an-l4", &l4()))
}

/// A study that was measured in a folder of this name. Nobody drops what is static, so the next tests take its
/// place.
fn kept(name: &str, script: &Script) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let output = measure(&folder, script, STUDY);
    assert!(output.status.success(), "{output:?}");
    folder
}

/// A driver of one card that does not support these.
fn with_faults(card: Card, unsupported: &[&str]) -> Script {
    let faults = unsupported.iter();
    Script {
        cards: vec![card],
        faults: faults.map(|symbol| Fault::fails(symbol, 3)).collect(),
        ..Script::default()
    }
}

/// So much power, with a spike for a reading or two every second.
fn spiking(mw: u64, spike_mw: u64) -> Series {
    let seconds = (0..120_u64).flat_map(|n| [(n * 1_000, mw), (n * 1_000 + 900, spike_mw)]);
    Series::steps(&seconds.collect::<Vec<_>>())
}

/// 24 GB under a cap of 72 W, which its clocks obey: no mean power, no GPM, and single readings above the limit.
fn l4() -> Script {
    let card = Card {
        name: b"NVIDIA L4".to_vec(),
        memory_bytes: 24_152_899_584,
        max_sm_clock_mhz: 2_040,
        max_memory_clock_mhz: 6_251,
        application_clocks_mhz: Some([2_040, 6_251].map(Series::Constant)),
        power_limit_mw: Series::Constant(72_000),
        power_limit_default_mw: 72_000,
        mig: None,
        gpm: false,
        sensors: Sensors {
            energy_mj: Series::counter(5_000_000, 73_000),
            power_mw: Series::Constant(71_800),
            power_instant_mw: spiking(70_500, 98_000),
            sm_clock_mhz: Series::Constant(1_215),
            memory_clock_mhz: Series::Constant(6_251),
            throttle_reasons: Series::Constant(0x4),
            temperature_c: Series::Constant(78),
            ..Card::working().sensors
        },
        ..Card::working()
    };
    with_faults(card, &["field:185"])
}

/// No GPM, MIG possible and off, and a default applications clock that the boost exceeds.
fn a100() -> Script {
    let card = Card {
        name: b"NVIDIA A100-SXM4-80GB".to_vec(),
        memory_bytes: 85_899_345_920,
        max_sm_clock_mhz: 1_410,
        max_memory_clock_mhz: 1_593,
        application_clocks_mhz: Some([1_275, 1_593].map(Series::Constant)),
        power_limit_mw: Series::Constant(400_000),
        power_limit_default_mw: 400_000,
        gpm: false,
        sensors: Sensors {
            power_mw: spiking(330_000, 431_000),
            sm_clock_mhz: Series::Constant(1_410),
            memory_clock_mhz: Series::Constant(1_593),
            ..Card::working().sensors
        },
        ..Card::working()
    };
    with_faults(card, &["field:185", "field:186"])
}

/// A card for games with an old driver: no counter of energy, no ECC, no MIG, no GPM, no applications clocks.
fn rtx_4090(sm_clock_mhz: u64) -> Script {
    let card = Card {
        name: b"NVIDIA GeForce RTX 4090".to_vec(),
        memory_bytes: 25_757_220_864,
        max_sm_clock_mhz: 3_105,
        max_memory_clock_mhz: 10_501,
        application_clocks_mhz: None,
        power_limit_mw: Series::Constant(450_000),
        power_limit_default_mw: 450_000,
        ecc: None,
        mig: None,
        gpm: false,
        persistence: false,
        sensors: Sensors {
            power_mw: spiking(410_000, 497_000),
            sm_clock_mhz: Series::Constant(sm_clock_mhz),
            memory_clock_mhz: Series::Constant(10_251),
            ..Card::working().sensors
        },
        ..Card::working()
    };
    let counter = "nvmlDeviceGetTotalEnergyConsumption";
    with_faults(card, &[counter, "field:185", "field:186"])
}

/// A seventh of an H100: no utilization, the power that of the whole card, the memory its own.
fn slice_of_an_h100() -> Script {
    let card = Card {
        mig: Some(Series::Constant(1)),
        slices: vec![Slice {
            uuid: "MIG-a".to_owned(),
            memory_bytes: 10_468_982_784,
            memory_used_bytes: Series::Constant(2_000_000_000),
        }],
        sensors: Sensors {
            power_instant_mw: spiking(640_000, 760_000),
            memory_used_bytes: Series::Constant(61_000_000_000),
            ..Card::working().sensors
        },
        ..Card::working()
    };
    with_faults(card, &["nvmlDeviceGetUtilizationRates"])
}

/// What `mtok run` says of a study of a card in this folder.
fn measure(folder: &Path, script: &Script, study: &str) -> Output {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    install(folder, script, &[]).unwrap();
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

/// Measures on a card, finds the record in order, and gives the report.
#[track_caller]
fn is_in_order(script: &Script, study: &str, verified: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let ran = measure(folder.path(), script, study);
    assert!(ran.status.success(), "{ran:?}");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(!said.contains("does not verify"), "{said}");
    let told = mtok(&["verify", folder.path().to_str().unwrap()]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.ends_with(verified), "{told}");
    std::fs::read_to_string(folder.path().join("report.md")).unwrap()
}

/// A study without the half minute that energy takes.
fn without_energy() -> String {
    STUDY.replace("energy = true", "energy = false")
}

#[test]
fn what_an_l4_reads_under_its_cap_is_in_order() {
    let told = Study::altered(on_an_l4(), |_| {}).passes();
    assert!(told.ends_with("2 of 2 energies derivable\n"), "{told}");
    let report = std::fs::read_to_string(on_an_l4().join("report.md")).unwrap();
    assert!(
        report.contains("clocks were lowered: power cap"),
        "{report}"
    );
    assert!(report.contains("power_average_mw"), "absent: {report}");
}

#[test]
fn what_an_a100_reads_is_in_order() {
    let report = is_in_order(&a100(), &without_energy(), " records, intact\n");
    assert!(!report.contains("of their maximum"), "{report}");
}

#[test]
fn what_a_card_for_games_reads_is_in_order() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // An offset of the owner's is not in the maximum. How many energies there are is up to this machine:
            // power is integrated over no gap.
            let report = is_in_order(&rtx_4090(3_150), STUDY, " of 2 energies derivable\n");
            assert!(!report.contains("of their maximum"), "{report}");
        });
        scope.spawn(|| {
            let told = " records, intact\n";
            let report = is_in_order(&rtx_4090(2_745), &without_energy(), told);
            let note = "SM clocks at 88.4 % of their maximum, steadily";
            assert!(report.contains(note), "{report}");
        });
    });
}

#[test]
fn what_a_slice_of_a_card_reads_is_in_order() {
    let report = is_in_order(&slice_of_an_h100(), &without_energy(), " records, intact\n");
    let shared = "the card gives it for all MIG slices together";
    assert!(report.contains(shared), "{report}");
}

#[test]
fn what_an_l4_cannot_have_drawn_over_a_block_is_refused() {
    let said = Study::altered(on_an_l4(), |records| {
        let (_, block) = last_block(records);
        multiply(block.sensors.as_mut().unwrap(), "power_mw", 600.0 / 71.8);
    });
    let said = said.is_doubted();
    let expected = "power_mw reads 600000, and 216000 is the most that can be";
    assert!(said.contains(expected), "{said}");
    // Each reading may be a spike, but not all of them.
    let said = Study::altered(on_an_l4(), |records| {
        let (_, block) = last_block(records);
        let readings = block.sensors.as_mut().unwrap();
        in_step(readings);
        multiply(readings, "energy_mj", 1.4);
        multiply(readings, "power_instant_mw", 1.4);
    });
    let said = said.is_doubted();
    assert!(said.contains("and the card's limit is 72 W"), "{said}");
}

#[test]
fn a_card_that_is_busy_for_twice_the_time_is_refused() {
    let study = Study::altered(on_an_l4(), |records| {
        let (_, block) = last_block(records);
        let readings = block.sensors.as_mut().unwrap();
        *one_of(readings, "gpu_utilization_percent") = Some(200);
    });
    let said = study.is_doubted();
    let expected = "gpu_utilization_percent reads 200, and 100 is the most that can be";
    assert!(said.contains(expected), "{said}");
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
    let ran = measure(folder.path(), &with_faults(card, &[]), &study);
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
