//! A writer that is killed at any moment leaves a file that verifies and goes on.

#![expect(
    clippy::print_stdout,
    reason = "the child tells its killer how far it is"
)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which clippy only sees inside test functions"
)]

mod session;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mtok::record::machine::{Device, DeviceKind};
use mtok::record::observation::Record;
use mtok::record::store::{Resumed, Writer, read, verify};
use mtok::study::file::StudyFile;
use mtok::study::spec::Target;
use tempfile::TempDir;

/// Names the file to the child that is to be killed.
const FILE: &str = "MTOK_TEST_RECORD_FILE";

/// How many writers are killed.
const KILLS: u32 = 30;

/// A record that tells its number, long enough that a kill can meet it half-written.
fn record(number: usize) -> Record {
    Record::Device(Box::new(Device {
        kind: DeviceKind::Sim,
        name: format!("{number} {}", "x".repeat(200_000)),
        uuid: None,
        pci_bus_id: None,
        memory_bytes: 0,
        last_level_cache_bytes: None,
        compute_capability: None,
        driver: None,
        cuda: None,
        threads: None,
        card: None,
        before: None,
        rested_ns: None,
    }))
}

/// Appends until it is killed, and says so after every record that is stored.
fn append_for_ever(file: &Path) {
    let Resumed {
        mut writer,
        records,
    } = Writer::resume(file).unwrap();
    for number in records.len().. {
        writer.append(&record(number)).unwrap();
        println!("stored {}", number + 1);
    }
}

/// Starts a writer, kills it a little after its first record, and gives back what it said it had stored.
fn write_and_kill(file: &Path, moment: u32) -> usize {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test harness itself is the program that is wanted"
    )]
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new(this)
        .args([
            "--exact",
            "no_stored_record_is_lost_to_a_kill",
            "--nocapture",
        ])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stored = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let said = line.unwrap();
        let Some(number) = said.strip_prefix("stored ") else {
            continue;
        };
        if stored.replace(number.parse().unwrap()).is_none() {
            for _ in 0..moment * 20_000 {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    stored.unwrap()
}

#[test]
fn no_stored_record_is_lost_to_a_kill() {
    if let Some(file) = std::env::var_os(FILE) {
        append_for_ever(&PathBuf::from(file));
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("run.jsonl");
    let study = StudyFile::default().resolved(Target::Cpu).unwrap();
    let first = Record::Session(Box::new(session::of(&study)));
    Writer::create(&file).unwrap().append(&first).unwrap();
    let mut torn = 0;
    for kill in 0..KILLS {
        let stored = write_and_kill(&file, kill % 20);
        let seen = verify(&file).unwrap();
        assert_eq!(seen.findings, []);
        torn += u32::from(seen.torn_bytes.is_some());
        let records = read(&file).unwrap();
        assert!(records.len() >= stored, "{} of {stored}", records.len());
        assert_eq!(records[0], first);
        for (number, found) in records.iter().enumerate().skip(1) {
            assert_eq!(*found, record(number));
        }
    }
    println!("{torn} of {KILLS} kills left a torn line");
}
