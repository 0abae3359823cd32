//! The readers of files from strangers as functions of bytes that must not panic, hang or fill memory.

use std::cell::RefCell;
use std::io::{Seek as _, Write as _};
use std::time::Duration;

use mtok::cost::scenario::Document;
use mtok::engine::untrusted;
use mtok::record::store;
use mtok::study::file::StudyFile;
use mtok::study::input;
use mtok::study::spec::Target as Device;
use rustix::time::{ClockId, clock_gettime};

/// Processor time that an input may take, of all threads, with coverage and hardly optimized. Inputs have
/// a few thousand bytes, and the slowest takes a hundredth of it.
const LIMIT: Duration = Duration::from_secs(1);

/// A reader under its name, which is also that of its folder of inputs.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Reads an input; whether it was accepted.
    pub read: fn(&[u8]) -> bool,
}

/// Every reader.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "gguf",
        read: |bytes| untrusted::check_gguf(bytes).is_ok(),
    },
    Target {
        name: "safetensors",
        read: |bytes| untrusted::check_safetensors(bytes).is_ok(),
    },
    Target {
        name: "index",
        read: |bytes| untrusted::check_index(bytes).is_ok(),
    },
    Target {
        name: "config",
        read: |bytes| untrusted::check_config(bytes).is_ok(),
    },
    Target {
        name: "study",
        read: read_study,
    },
    Target {
        name: "record",
        read: read_record,
    },
    Target {
        name: "scenario",
        read: read_scenario,
    },
];

/// The reader of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Reads an input within the limit on processor time; wall time would measure the neighbours too.
///
/// # Panics
/// When the limit does not hold.
pub fn timed(target: &Target, bytes: &[u8]) -> bool {
    let before = processor_time();
    let accepted = (target.read)(bytes);
    let taken = processor_time().saturating_sub(before);
    assert!(
        taken < LIMIT,
        "{}: {taken:?} for {} bytes",
        target.name,
        bytes.len()
    );
    accepted
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("processor time is not negative")
}

fn read_study(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    input::parse::<StudyFile>(text).is_ok_and(|file| {
        file.resolved(Device::Cpu)
            .is_ok_and(|study| !study.sweep.points().is_empty())
    })
}

fn read_scenario(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| Document::parse(text).is_ok())
}

/// The reader wants a file, so there is one, in memory.
fn read_record(bytes: &[u8]) -> bool {
    thread_local! {
        static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(
            tempfile::NamedTempFile::new_in("/dev/shm").expect("a file in memory can be made"),
        );
    }
    FILE.with_borrow_mut(|file| {
        let written = file
            .as_file()
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(bytes));
        written.expect("a file in memory can be written");
        let verified = store::verify(file.path()).is_ok_and(|seen| seen.findings.is_empty());
        let read = store::read(file.path()).is_ok();
        assert!(read || !verified, "verified, but not readable");
        verified
    })
}
