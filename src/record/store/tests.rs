//! What the file promises, shown on small runs.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::record::card::Sensors;
use crate::record::holder::Holder;
use crate::record::machine::Device;
use crate::record::observation::{Block, Purpose, Record, Session};
use crate::study::workload::PointId;
use crate::units::Nanos;

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("run.jsonl");
    (folder, file)
}

fn write(file: &Path, records: &[Record]) {
    let mut writer = Writer::create(file).unwrap();
    for record in records {
        writer.append(record).unwrap();
    }
}

#[track_caller]
fn assert_intact(file: &Path) {
    let seen = verify(file).unwrap();
    assert_eq!(seen.findings, []);
}

#[test]
fn what_is_written_is_what_is_read() {
    let (_folder, file) = folder();
    let records = sample::run(3);
    write(&file, &records);
    assert_eq!(read(&file).unwrap(), records);
    assert_intact(&file);
}

#[test]
fn a_line_is_its_place_and_then_its_record() {
    let (_folder, file) = folder();
    let run = sample::run(0);
    write(&file, &run[2..]);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0]
            .starts_with("{\"seq\":0,\"prev\":\"0000000000000000\",\"type\":\"load\",\"load\":0,"),
        "{}",
        lines[0]
    );
    let prev = line::fingerprint(lines[0].as_bytes());
    assert_eq!(
        lines[1],
        format!(
            "{{\"seq\":1,\"prev\":\"{prev}\",\"type\":\"end\",\"status\":\"complete\",\"at\":\
             {{\"monotonic_ns\":9,\"realtime_ns\":1790000000000000009}},\"sum\":\"{}\"}}",
            line::fingerprint(lines[1].replace(&sum_of(lines[1]), "}").as_bytes())
        )
    );
}

/// The last field of a line, with what closes the line.
fn sum_of(line: &str) -> String {
    let at = line.rfind(",\"sum\":").unwrap();
    line[at..].to_owned()
}

#[test]
fn the_fingerprint_is_the_start_of_the_sha_256() {
    // SHA-256 of "abc", FIPS 180-2, appendix B.1.
    assert_eq!(line::fingerprint(b"abc"), "ba7816bf8f01cfea");
}

#[test]
fn a_second_writer_is_locked_out() {
    let (_folder, file) = folder();
    let _first = Writer::create(&file).unwrap();
    assert!(matches!(
        Writer::create(&file),
        Err(StoreError::Locked { .. })
    ));
    assert!(matches!(
        Writer::resume(&file),
        Err(StoreError::Locked { .. })
    ));
}

#[test]
fn a_file_that_holds_a_run_is_not_begun_again() {
    let (_folder, file) = folder();
    write(&file, &sample::run(1));
    let before = fs::read(&file).unwrap();
    assert!(matches!(
        Writer::create(&file),
        Err(StoreError::Exists { .. })
    ));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn an_empty_file_is_no_run() {
    let (_folder, file) = folder();
    fs::write(&file, "").unwrap();
    write(&file, &sample::run(1));
    assert_intact(&file);
}

#[test]
fn a_full_disk_names_the_file_and_stops_the_writer() {
    let mut writer = Writer::create(Path::new("/dev/full")).unwrap();
    let error = writer.append(&sample::run(0)[0]).unwrap_err().to_string();
    assert!(
        error.starts_with("/dev/full: ") && error.contains("No space"),
        "{error}"
    );
    let error = writer.append(&sample::run(0)[0]).unwrap_err().to_string();
    assert!(error.contains("earlier write failed"), "{error}");
}

#[test]
fn a_missing_folder_and_a_link_are_refused_by_name() {
    let (folder, file) = folder();
    let missing = folder.path().join("not/here.jsonl");
    let error = Writer::create(&missing).unwrap_err().to_string();
    assert!(error.contains("not/here.jsonl: No such file"), "{error}");
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &file).unwrap();
    let error = Writer::create(&file).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(!folder.path().join("elsewhere").exists());
}

/// Going on waits for the disk, so it is tried at every so many bytes; a prime meets all places.
const RESUMED_EVERY: usize = 17;

/// Cutting a file anywhere leaves what a crash leaves: all whole lines, then a torn one.
#[test]
fn a_file_torn_at_any_byte_verifies_and_goes_on() {
    let (_folder, file) = folder();
    let mut records = sample::run(2);
    for record in &mut records {
        if let Record::Block(block) = record {
            block.generations.truncate(1);
        }
    }
    write(&file, &records);
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        assert_intact(&file);
        let kept = read(&file).unwrap();
        assert_eq!(kept, records[..kept.len()], "torn at {length}");
        let complete = whole[..length].split(|byte| *byte == b'\n').count() - 1;
        // A line that lacks nothing but its line end counts.
        assert!(
            kept.len() == complete || kept.len() == complete + 1,
            "torn at {length}"
        );
        if length % RESUMED_EVERY != 0 {
            continue;
        }

        let Resumed {
            mut writer,
            records: found,
        } = Writer::resume(&file).unwrap();
        assert_eq!(found, kept, "torn at {length}");
        writer.append(&records[0]).unwrap();
        drop(writer);
        assert_intact(&file);
        let after = read(&file).unwrap();
        assert_eq!(after.len(), kept.len() + 1, "torn at {length}");
        let written = fs::read(&file).unwrap();
        assert_eq!(written[..length], whole[..length], "the torn line stays");
    }
}

#[test]
fn the_line_after_a_torn_one_names_the_bytes_skipped() {
    let (_folder, file) = folder();
    write(&file, &sample::run(1)[..2]);
    let mut text = fs::read_to_string(&file).unwrap();
    text.push_str("{\"seq\":2,\"pr");
    fs::write(&file, &text).unwrap();
    assert_eq!(verify(&file).unwrap().torn_bytes, Some(12));

    let mut writer = Writer::resume(&file).unwrap().writer;
    writer.append(&sample::run(1)[2]).unwrap();
    writer.append(&sample::run(1)[3]).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let last: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(last[0], "{\"seq\":2,\"pr");
    assert!(last[1].starts_with("{\"seq\":2,\"prev\":\""), "{}", last[1]);
    assert!(last[1].contains("\"skipped_bytes\":12,\"type\":\"load\""));
    assert!(!last[2].contains("skipped_bytes"));
    assert_intact(&file);
    assert_eq!(verify(&file).unwrap().torn_bytes, None);
}

/// Goes on with a file and is cut off once the disk has `kept` bytes of what is appended.
fn cut_off_after(file: &Path, record: &Record, kept: usize) {
    let before = fs::read(file).unwrap().len();
    Writer::resume(file).unwrap().writer.append(record).unwrap();
    let mut whole = fs::read(file).unwrap();
    whole.truncate(before + kept);
    fs::write(file, whole).unwrap();
}

/// Bytes that going on with a file appends for a record.
fn appended(file: &Path, record: &Record) -> usize {
    let before = fs::read(file).unwrap();
    Writer::resume(file).unwrap().writer.append(record).unwrap();
    let after = fs::read(file).unwrap().len();
    fs::write(file, &before).unwrap();
    after - before.len()
}

#[test]
fn a_file_torn_again_at_any_byte_verifies_and_goes_on() {
    let (_folder, file) = folder();
    let records = sample::run(0);
    write(&file, &records[..2]);
    let mut torn = fs::read(&file).unwrap();
    torn.extend_from_slice(b"{\"seq\":2,\"pr");
    fs::write(&file, &torn).unwrap();
    for kept in 0..=appended(&file, &records[2]) {
        fs::write(&file, &torn).unwrap();
        cut_off_after(&file, &records[2], kept);
        assert_intact(&file);
        let found = read(&file).unwrap();
        assert_eq!(found, records[..found.len()], "cut off after {kept}");

        let before = fs::read(&file).unwrap();
        let mut writer = Writer::resume(&file).unwrap().writer;
        writer.append_all(&records[found.len()..]).unwrap();
        drop(writer);
        assert_intact(&file);
        assert_eq!(read(&file).unwrap(), records, "cut off after {kept}");
        let after = fs::read(&file).unwrap();
        assert_eq!(after[..before.len()], before, "the torn lines stay");
    }
}

#[test]
fn the_bytes_of_three_crashes_in_a_row_are_skipped_together() {
    let (_folder, file) = folder();
    let records = sample::run(0);
    write(&file, &records[..2]);
    let whole = fs::read_to_string(&file).unwrap();
    let torn_bytes = |kept| {
        cut_off_after(&file, &records[2], kept);
        assert_intact(&file);
        verify(&file).unwrap().torn_bytes
    };
    assert_eq!(torn_bytes(5), Some(5));
    assert_eq!(torn_bytes(1), Some(5), "the line end and nothing else");
    assert_eq!(torn_bytes(7), Some(13));
    let mut writer = Writer::resume(&file).unwrap().writer;
    writer.append_all(&records[2..]).unwrap();
    assert_intact(&file);
    assert_eq!(read(&file).unwrap(), records);
    let text = fs::read_to_string(&file).unwrap();
    let rest = text.strip_prefix(&whole).unwrap();
    assert!(
        rest.starts_with("{\"seq\n{\"seq\":\n{\"seq\":2,\"prev\":"),
        "{rest}"
    );
    assert!(rest.contains("\"skipped_bytes\":13,"), "{rest}");
}

#[test]
fn a_changed_line_is_no_torn_one() {
    let (_folder, file) = folder();
    let records = sample::run(0);
    write(&file, &records[..2]);
    let torn = "{\"seq\":2,\"pr";
    let whole = fs::read_to_string(&file).unwrap();
    let second = whole.lines().nth(1).unwrap();
    let other = whole.replace(second, &second.replacen("\"device\"", "\"device", 1));
    for changed in [
        // A line that was whole, before a torn one.
        format!("{other}{torn}"),
        // What no crash leaves between torn lines.
        format!("{whole}{torn}\nnothing\n{torn}"),
        format!("{whole}{torn}\n\n{torn}"),
        format!("{whole}{torn}\n{{}}\n"),
        // The last line, open because its end was changed.
        format!("{},\n", whole.trim_end().strip_suffix('}').unwrap()),
        format!("{}0}}\n", whole.trim_end().strip_suffix("\"}").unwrap()),
    ] {
        fs::write(&file, &changed).unwrap();
        assert_ne!(verify(&file).unwrap().findings, [], "{changed}");
        let error = read(&file).unwrap_err();
        assert!(matches!(error, StoreError::Malformed { .. }), "{error}");
    }

    // Bytes that the next record does not name.
    fs::write(&file, format!("{whole}{torn}")).unwrap();
    cut_off_after(&file, &records[2], 5);
    let mut writer = Writer::resume(&file).unwrap().writer;
    writer.append(&records[2]).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen(torn, &torn[1..], 1)).unwrap();
    let findings = verify(&file).unwrap().findings;
    let lines: Vec<u64> = findings.iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [3, 4]);
    assert!(matches!(
        read(&file),
        Err(StoreError::Malformed { line: 3, .. })
    ));
}

/// Any change of any byte shows, in the last line too.
#[test]
fn every_changed_byte_is_found() {
    let (_folder, file) = folder();
    let mut records = sample::run(1);
    records.remove(1);
    write(&file, &records);
    let whole = fs::read(&file).unwrap();
    let last_line = whole[..whole.len() - 1]
        .iter()
        .rposition(|b| *b == b'\n')
        .unwrap();
    for at in 0..whole.len() {
        // The last line has no other behind it, so there more is tried.
        let changes: &[u8] = if at < last_line {
            b"12"
        } else {
            b"12 \n\t\0},\"x"
        };
        for &byte in changes {
            let mut changed = whole.clone();
            changed[at] = byte;
            if changed == whole {
                continue;
            }
            fs::write(&file, &changed).unwrap();
            match verify(&file) {
                Ok(seen) => assert_ne!(seen.findings, [], "byte {at} changed to {byte}"),
                Err(StoreError::NewerSchema { .. }) => {}
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
    }
}

#[test]
fn lines_of_older_programs_have_no_sum() {
    let (_folder, file) = folder();
    write(&file, &sample::run(0)[..1]);
    let line = fs::read_to_string(&file).unwrap();
    let older = line.trim_end().replace(&sum_of(line.trim_end()), "}\n");
    fs::write(&file, older).unwrap();
    assert_intact(&file);
    // One that goes on has them from there on.
    let mut writer = Writer::resume(&file).unwrap().writer;
    writer.append_all(&sample::run(0)[1..]).unwrap();
    assert_intact(&file);
}

#[test]
fn a_dropped_or_doubled_line_is_found_where_it_is() {
    let (_folder, file) = folder();
    write(&file, &sample::run(4));
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();

    let mut dropped = lines.clone();
    dropped.remove(4);
    fs::write(&file, dropped.join("\n") + "\n").unwrap();
    let found = verify(&file).unwrap().findings;
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].to_string(), "line 5: seq is 5, expected 4");
    assert!(matches!(found[1].problem, Problem::Chain { .. }));

    let mut doubled = lines.clone();
    doubled.insert(4, lines[4]);
    fs::write(&file, doubled.join("\n") + "\n").unwrap();
    assert_eq!(verify(&file).unwrap().findings[0].line, 6);
}

/// The problems of a run whose second block is changed before it is written.
fn problems_of(change: impl FnOnce(&mut Block)) -> Vec<Problem> {
    let (_folder, file) = folder();
    let mut records = sample::run(2);
    let Record::Block(block) = &mut records[4] else {
        panic!("the fifth record is a block")
    };
    change(block);
    write(&file, &records);
    let findings = verify(&file).unwrap().findings;
    assert!(findings.iter().all(|finding| finding.line == 5));
    findings
        .into_iter()
        .map(|finding| finding.problem)
        .collect()
}

#[test]
fn blocks_from_which_nothing_follows_are_found() {
    let steps = |generation, found| Problem::Steps {
        generation,
        expected: 32,
        found,
    };
    assert_eq!(problems_of(|_| {}), []);
    assert_eq!(
        problems_of(|b| b.load = 7),
        [Problem::UnknownLoad { load: 7 }]
    );
    assert_eq!(
        problems_of(|b| b.generations.clear()),
        [Problem::EmptyBlock]
    );
    assert_eq!(
        problems_of(|b| {
            let steps = &mut b.generations[3].steps_ns;
            *steps = steps.later().collect();
        }),
        [steps(3, 31)]
    );
    assert_eq!(
        problems_of(|b| b.generations.swap(1, 2)),
        [Problem::Time { generation: 2 }]
    );
    assert_eq!(
        problems_of(|b| b.cpu.wall_ns = Nanos::new(1_000)),
        [Problem::Wall]
    );
    assert_eq!(
        problems_of(|b| b.generations[7].tail_ns = Nanos::new(u64::MAX)),
        [Problem::Wall]
    );
    // Steps that add up to more than 64 bits hold, in a block that is said to last as long.
    assert_eq!(
        problems_of(|b| {
            let start = b.started.monotonic_ns.value();
            b.cpu.wall_ns = Nanos::new(u64::MAX - start);
            let long = &mut b.generations[7];
            let first = Nanos::new(u64::MAX);
            let later = long.steps_ns.later();
            long.steps_ns = std::iter::once(first).chain(later).collect();
            (long.t0_ns, long.tail_ns) = (Nanos::new(0), Nanos::new(0));
        }),
        [Problem::Time { generation: 7 }, Problem::Wall]
    );
    assert_eq!(
        problems_of(|b| b.output_sha256.truncate(16)),
        [Problem::OutputHash]
    );
}

/// Readings of a block, at these nanoseconds after its begin.
fn readings(block: &Block, after: &[i64]) -> Sensors {
    let start = block.started.monotonic_ns.value();
    Sensors {
        period_ns: Nanos::new(50_000_000),
        at_ns: after
            .iter()
            .map(|offset| Nanos::new(start.checked_add_signed(*offset).unwrap()))
            .collect(),
        columns: [("power_mw".to_owned(), vec![Some(7); after.len()])].into(),
        absent: std::collections::BTreeMap::new(),
    }
}

#[test]
fn readings_that_are_not_in_order_are_found() {
    let with = |after: &[i64]| unsound_of(|b| b.sensors = Some(readings(b, after)));
    // The block lasts 320 ms; the nearest reading on either side belongs to it.
    assert_eq!(with(&[-9, 0, 100, 400_000_000]), []);
    assert_eq!(with(&[-9, -8, 100]), [UnsoundReadings::Elsewhere]);
    let late = [5, 400_000_000, 450_000_000];
    assert_eq!(with(&late), [UnsoundReadings::Elsewhere]);
    assert_eq!(with(&[5, 5]), [UnsoundReadings::Order]);
    let short = unsound_of(|block| {
        let mut sensors = readings(block, &[1, 2, 3]);
        sensors.columns.get_mut("power_mw").unwrap().pop();
        block.sensors = Some(sensors);
    });
    let sensor = "power_mw".to_owned();
    let (expected, found) = (3, 2);
    assert_eq!(
        short,
        [UnsoundReadings::Length {
            sensor,
            expected,
            found
        }]
    );
}

#[test]
fn the_rest_before_and_after_lies_around_all_blocks() {
    let problems = |before: &[i64], after: &[i64]| {
        let (_folder, file) = folder();
        let mut records = sample::run(2);
        let blocks: Vec<Block> = records
            .iter()
            .filter_map(|record| match record {
                Record::Block(block) => Some((**block).clone()),
                _ => None,
            })
            .collect();
        for record in &mut records {
            if let Record::Device(device) = record {
                device.before = Some(Box::new(readings(&blocks[0], before)));
            } else if let Record::End(end) = record {
                end.after = Some(Box::new(readings(&blocks[1], after)));
            }
        }
        write(&file, &records);
        let found = verify(&file).unwrap().findings.into_iter();
        found
            .map(|finding| (finding.line, finding.problem))
            .collect::<Vec<_>>()
    };
    let elsewhere = |holder| Problem::Sensors {
        holder,
        unsound: UnsoundReadings::Elsewhere,
    };
    // A block lasts 320 ms; the first one is on the fourth line.
    let (rest, later) = ([-500, -100], [400_000_000, 450_000_000]);
    assert_eq!(problems(&rest, &later), []);
    assert_eq!(
        problems(&[-500, 60_000_000_000], &later),
        [(4, elsewhere(Holder::Before))]
    );
    assert_eq!(
        problems(&rest, &[1_000, 450_000_000]),
        [(6, elsewhere(Holder::After))]
    );
}

/// What is wrong with the readings of a block that is changed before it is written.
fn unsound_of(change: impl FnOnce(&mut Block)) -> Vec<UnsoundReadings> {
    let expected = Holder::of(&sample::block(0, 1));
    let problems = problems_of(change).into_iter();
    let unsound = |problem| match problem {
        Problem::Sensors { holder, unsound } => {
            assert_eq!(holder, expected);
            unsound
        }
        other => panic!("{other} is no problem of sensors"),
    };
    problems.map(unsound).collect()
}

#[test]
fn an_energy_counter_that_steps_back_is_no_fault_of_the_record() {
    let stepped = unsound_of(|block| {
        let mut sensors = readings(block, &[0, 50_000_000, 100_000_000]);
        let column = [9_000_000, 8_900_000, 8_920_000].map(Some).to_vec();
        sensors.columns.insert("energy_mj".to_owned(), column);
        block.sensors = Some(sensors);
    });
    assert_eq!(stepped, []);
}

#[test]
fn a_block_that_is_there_twice_is_found() {
    let (_folder, file) = folder();
    let mut records = sample::run(3);
    records.insert(5, records[4].clone());
    write(&file, &records);
    let findings = verify(&file).unwrap().findings;
    let point = sample::block(0, 0).point;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].line, 6);
    assert_eq!(findings[0].problem, Problem::Again { point, load: 0 });
    fs::remove_file(&file).unwrap();

    // Another load is another worker, whose clock may be a script of its own.
    let mut records = sample::run(1);
    let end = records.pop().unwrap();
    records.push(Record::Load(Box::new(sample::load(1))));
    records.push(Record::Block(Box::new(sample::block(1, 0))));
    records.push(end);
    write(&file, &records);
    assert_intact(&file);
}

#[test]
fn an_energy_block_serves_a_point_of_the_study() {
    let serving = |serves: Option<PointId>| {
        problems_of(|block| {
            block.purpose = Purpose::Energy;
            block.point.osl = std::num::NonZeroU32::MIN;
            for generation in &mut block.generations {
                generation.steps_ns = generation.steps_ns.iter().take(1).collect();
            }
            block.serves = serves;
        })
    };
    let point = sample::block(0, 0).point;
    assert_eq!(serving(Some(point)), []);
    assert!(matches!(serving(None)[..], [Problem::Serves { .. }]));
    let mut unknown = point;
    unknown.batch = std::num::NonZeroU32::new(5).unwrap();
    assert_eq!(
        serving(Some(unknown)),
        [Problem::UnknownPoint { point: unknown }]
    );
    assert!(matches!(
        problems_of(|block| block.serves = Some(point))[..],
        [Problem::Serves { .. }]
    ));
}

#[test]
fn a_point_that_the_study_does_not_have_is_found() {
    let problems = problems_of(|block| {
        block.point.batch = std::num::NonZeroU32::new(5).unwrap();
    });
    assert!(matches!(problems[..], [Problem::UnknownPoint { .. }]));
}

#[test]
fn a_file_without_a_session_or_with_facts_after_the_end_is_found() {
    let (_folder, file) = folder();
    let run = sample::run(0);
    write(&file, &run[1..3]);
    assert_eq!(
        verify(&file).unwrap().findings[0].problem,
        Problem::NoSession
    );
    fs::remove_file(&file).unwrap();

    let mut records = run.clone();
    records.push(Record::Device(Box::new(sample::device())));
    write(&file, &records);
    assert_eq!(
        verify(&file).unwrap().findings[0].problem,
        Problem::AfterEnd
    );
    fs::remove_file(&file).unwrap();

    let mut records = run.clone();
    records.extend(run.into_iter().take(2));
    write(&file, &records);
    assert_intact(&file);
}

/// Points are the product of four lists: one line could ask for more of them than any memory holds.
#[test]
fn a_sweep_of_more_points_than_a_study_may_have_is_no_record() {
    let (_folder, file) = folder();
    let mut run = sample::run(1);
    let Record::Session(session) = &mut run[0] else {
        panic!("a run begins with its session")
    };
    let sweep = &mut session.study.sweep;
    for axis in [&mut sweep.batch, &mut sweep.isl, &mut sweep.osl] {
        *axis = vec![axis[0]; 5_000];
    }
    write(&file, &run);
    let seen = verify(&file).unwrap();
    let first = &seen.findings[0];
    assert!(
        first
            .to_string()
            .contains("more points than a study may have"),
        "{first}"
    );
    assert!(matches!(
        read(&file),
        Err(StoreError::Malformed { line: 1, .. })
    ));
}

#[test]
fn a_newer_schema_is_refused_by_name() {
    let (_folder, file) = folder();
    let mut session = sample::session();
    session.schema = crate::record::schema::VERSION + 1;
    write(&file, &[Record::Session(Box::new(session))]);
    let expected = format!(
        "{}:1: schema 4 is newer than the 3 that this program knows; use a newer mtok",
        file.display()
    );
    assert_eq!(read(&file).unwrap_err().to_string(), expected);
    assert_eq!(verify(&file).unwrap_err().to_string(), expected);
    assert_eq!(Writer::resume(&file).unwrap_err().to_string(), expected);
}

#[test]
fn rubbish_in_the_middle_is_refused_by_readers_and_found_by_verify() {
    let (_folder, file) = folder();
    write(&file, &sample::run(1));
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replacen("\"type\":\"device\"", "\"type\":\"sofa\"", 1);
    fs::write(&file, changed).unwrap();
    let error = read(&file).unwrap_err().to_string();
    assert!(error.contains(":2: unknown variant `sofa`"), "{error}");
    assert!(matches!(
        verify(&file).unwrap().findings[0],
        Finding {
            line: 2,
            problem: Problem::NotARecord { .. }
        }
    ));
}

/// What is different now.
type Change = fn(&mut (Session, Device));

#[test]
fn a_run_goes_on_only_with_the_same_card_driver_binary_study_and_model() {
    let same = (sample::session(), sample::device());
    let differs = |change: Change| {
        let mut now = same.clone();
        change(&mut now);
        check_session(&same.0, &now.0)
            .and_then(|()| check_device(&same.1, &now.1))
            .map_err(|difference| difference.what)
    };
    let cases: [(Change, &str); 7] = [
        (|now| now.1.name.push('x'), "the device"),
        (
            |now| now.1.uuid = Some("GPU-1".into()),
            "the device's identity",
        ),
        (|now| now.1.driver = Some("580".into()), "the driver"),
        (
            |now| now.0.harness.binary_sha256.push('0'),
            "the executable's SHA-256",
        ),
        (
            |now| now.0.model.shape.layers = 3,
            "the model's shape.layers",
        ),
        (
            |now| now.0.study.measure.seed = 2,
            "the study's measure.seed",
        ),
        (
            |now| {
                now.0.study.sweep.batch.pop();
            },
            "the study's sweep.batch",
        ),
    ];
    assert_eq!(differs(|_| {}), Ok(()));
    assert_eq!(differs(|now| now.0.started = sample::moment(77)), Ok(()));
    // A price is no part of what was measured.
    assert_eq!(
        differs(|now| now.0.study.price.gpu = Some("l4".into())),
        Ok(())
    );
    for (change, what) in cases {
        assert_eq!(differs(change), Err(what.to_owned()));
    }
}

#[test]
fn what_keeps_a_run_from_going_on_is_named_with_both_values() {
    let was = (sample::session(), sample::device());
    let mut now = was.clone();
    now.0.study.measure.seed = 7;
    let difference = check_session(&was.0, &now.0).unwrap_err();
    assert_eq!(
        difference.to_string(),
        "cannot resume: the study's measure.seed is 7, but the record has 1; start a new --out"
    );
}

/// A run with a comparison of two windows, changed in one place.
#[track_caller]
fn judged(change: impl FnOnce(&mut Vec<Record>), expected: &[&str]) {
    let (_folder, file) = folder();
    let mut records = sample::run(0);
    let end = records.pop().unwrap();
    records.push(Record::Scoring(Box::new(sample::scoring(0))));
    records.extend([0, 1].map(|n| Record::Window(Box::new(sample::window(0, n)))));
    change(&mut records);
    records.push(end);
    write(&file, &records);
    assert_eq!(read(&file).unwrap(), records);
    let findings = verify(&file).unwrap().findings;
    let found: Vec<String> = findings.iter().map(|f| f.problem.to_string()).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_comparison_of_quality_has_every_window_once_and_whole() {
    let with = |window: crate::record::scoring::Window| {
        move |records: &mut Vec<Record>| records.push(Record::Window(Box::new(window)))
    };
    let sound = sample::window(1, 0);
    judged(|_| (), &[]);
    judged(
        with(sample::window(0, 1)),
        &["window 1 of comparison 0 is there twice"],
    );
    judged(
        with(sample::window(0, 2)),
        &["window 2 of comparison 0 belongs to no text of the file"],
    );
    judged(
        with(sound.clone()),
        &["window 0 of comparison 1 belongs to no text of the file"],
    );
    let second = |window| {
        move |records: &mut Vec<Record>| {
            records.push(Record::Scoring(Box::new(sample::scoring(1))));
            records.push(Record::Window(Box::new(window)));
        }
    };
    judged(second(sound.clone()), &[]);
    let mut long = sound.clone();
    long.divergence_nano.push(1);
    judged(
        second(long),
        &["window 0 of comparison 1 holds 2 predictions, its text has 1"],
    );
    let mut impossible = sound;
    impossible.delta_p = 1.5;
    judged(
        second(impossible),
        &["window 0 of comparison 1 holds sums that no distribution gives"],
    );
    judged(
        |records| records.push(Record::Scoring(Box::new(sample::scoring(0)))),
        &["comparison 0 is there twice"],
    );
}

#[test]
fn a_file_of_version_2_reads_as_it_did() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("tests/fixtures/record/version-2.jsonl");
    assert_intact(&file);
    let records = read(&file).unwrap();
    let Record::Session(session) = &records[0] else {
        panic!("{:?} is no session", records[0])
    };
    assert_eq!((session.schema, session.study.sweep.kv.as_ref()), (2, None));
    let points = session.study.sweep.points();
    let measured: Vec<PointId> = records
        .iter()
        .filter_map(|record| match record {
            Record::Block(block) => Some(block.point),
            _ => None,
        })
        .collect();
    assert_eq!(measured, [points[0]; 3]);
    let judged = records.iter().filter_map(|record| match record {
        Record::Scoring(scoring) => Some(scoring.variant().to_string()),
        _ => None,
    });
    assert_eq!(judged.collect::<Vec<_>>(), ["q8_0"]);
}
