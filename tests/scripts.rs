//! The scripts for a rented card, on a machine that only pretends to have one.

#![expect(clippy::unwrap_used, reason = "the helpers belong to tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const LIBRARIES: [&str; 6] = [
    "libcuda.so.1",
    "libcudart.so.13",
    "libcublas.so.13",
    "libcublasLt.so.13",
    "libcurand.so.10",
    "libnvrtc.so.13",
];

/// What `nvidia-smi` says of an H100.
const CARD: &str = "0, NVIDIA H100 80GB HBM3, 580.95.05, 9.0, 81559, Disabled";

/// A folder of fake programs and a folder of fake libraries.
struct Machine {
    root: TempDir,
}

impl Machine {
    /// One H100 with a driver for CUDA 13.0, the toolkit of that version, and all libraries.
    fn ready() -> Self {
        let machine = Self {
            root: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(machine.programs()).unwrap();
        fs::create_dir(machine.libraries()).unwrap();
        machine.card(CARD, "13.0", "");
        machine.program(
            "nvcc",
            "echo 'Cuda compilation tools, release 13.0, V13.0.88'",
        );
        machine.program("ldconfig", "echo '0 libs found in cache'");
        machine.disk_gib(100);
        machine.program("cargo", "exit 0");
        machine.program("c++", "exit 0");
        for library in LIBRARIES {
            fs::write(machine.libraries().join(library), "").unwrap();
        }
        machine
    }

    fn programs(&self) -> PathBuf {
        self.root.path().join("bin")
    }

    fn libraries(&self) -> PathBuf {
        self.root.path().join("lib")
    }

    fn program(&self, name: &str, body: &str) {
        let path = self.programs().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A `df` that finds so much room, whatever the disk of the tests has.
    fn disk_gib(&self, free: u64) {
        let kib = free << 20;
        self.program("df", &format!("echo head; echo '/dev/disk 1 1 {kib} 1% /'"));
    }

    /// An `nvidia-smi` that answers the queries of the script as the real one does.
    fn card(&self, row: &str, cuda: &str, processes: &str) {
        self.program(
            "nvidia-smi",
            &format!(
                "case \"$*\" in\n\
                 *--query-gpu*) echo '{row}' ;;\n\
                 *--query-compute-apps*) echo '{processes}' ;;\n\
                 *) echo '| NVIDIA-SMI 580.95.05   Driver Version: 580.95.05   CUDA Version: {cuda}  |' ;;\n\
                 esac"
            ),
        );
    }

    fn preflight(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/gpu-preflight");
        Command::new("/bin/sh")
            .arg(script)
            .args(arguments)
            .current_dir(self.root.path())
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.programs().display()),
            )
            .env("LD_LIBRARY_PATH", self.libraries())
            .env("CUDA_HOME", "/nonexistent")
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }
}

/// The answer must be 1 and name `requirement` as missing, with `remedy` on the line after.
#[track_caller]
fn assert_missing(output: &Output, requirement: &str, remedy: &str) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<_> = text.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.starts_with(&format!("missing  {requirement} ")))
        .unwrap_or_else(|| panic!("{requirement} is not missing in\n{text}"));
    assert!(lines[at + 1].contains(remedy), "{}", lines[at + 1]);
    let others = lines
        .iter()
        .filter(|line| line.starts_with("missing"))
        .count();
    assert_eq!(others, 1, "only {requirement} should be missing in\n{text}");
}

#[test]
fn preflight_names_a_disk_without_room() {
    let machine = Machine::ready();
    machine.disk_gib(7);
    let output = machine.preflight(&[], &[]);
    assert_missing(&output, "disk", "free some, or work on another disk");
}

#[test]
fn preflight_passes_on_a_machine_with_everything() {
    let output = Machine::ready().preflight(&[], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains("missing"), "{text}");
    assert!(text.contains("supports CUDA 13.0, toolkit 13.0"), "{text}");
    assert!(text.contains("CUDA_COMPUTE_CAP=90"), "{text}");
}

#[test]
fn preflight_names_a_driver_older_than_the_toolkit() {
    let machine = Machine::ready();
    machine.card(CARD, "12.8", "");
    let output = machine.preflight(&[], &[]);
    assert_missing(&output, "driver for toolkit", "supports CUDA 13.0");
}

#[test]
fn preflight_names_a_missing_driver() {
    let machine = Machine::ready();
    machine.program("nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9");
    let output = machine.preflight(&[], &[]);
    assert_missing(&output, "driver", "another machine");
}

#[test]
fn preflight_names_a_missing_library_and_finds_it_where_the_loader_does_not_look() {
    let machine = Machine::ready();
    let elsewhere = machine.root.path().join("toolkit/lib64");
    fs::create_dir_all(&elsewhere).unwrap();
    let library = "libcublasLt.so.13";
    fs::rename(machine.libraries().join(library), elsewhere.join(library)).unwrap();
    let home = machine.root.path().join("toolkit");
    let home = [("CUDA_HOME", home.to_str().unwrap())];
    let output = machine.preflight(&[], &home);
    assert_missing(&output, library, "LD_LIBRARY_PATH");
    let path = machine.preflight(&["--library-path"], &home);
    assert_eq!(
        String::from_utf8(path.stdout).unwrap().trim(),
        format!("{}:{}", machine.libraries().display(), elsewhere.display())
    );
}

#[test]
fn preflight_asks_for_the_libraries_of_the_toolkit_that_is_there() {
    let machine = Machine::ready();
    machine.card(CARD, "99.9", "");
    machine.program(
        "nvcc",
        "echo 'Cuda compilation tools, release 99.8, V99.8.93'",
    );
    for library in ["libcudart", "libcublas", "libcublasLt"] {
        fs::write(machine.libraries().join(format!("{library}.so.99")), "").unwrap();
    }
    let output = machine.preflight(&[], &[]);
    assert_missing(&output, "libnvrtc.so.99", "99.8");
}

#[test]
fn preflight_names_a_compute_capability_that_the_build_does_not_fit() {
    let machine = Machine::ready();
    let output = machine.preflight(&[], &[("CUDA_COMPUTE_CAP", "80")]);
    assert_missing(&output, "CUDA_COMPUTE_CAP", "export CUDA_COMPUTE_CAP=90");
    machine.card("0, Tesla T4, 580.95.05, 7.5, 15360, [N/A]", "13.0", "");
    assert_missing(&machine.preflight(&[], &[]), "card 0", "8.0");
}

#[test]
fn preflight_names_a_card_that_is_shared_or_sliced() {
    let machine = Machine::ready();
    let row = "0, NVIDIA H100 80GB HBM3, 580.95.05, 9.0, 81559";
    machine.card(&format!("{row}, Enabled"), "13.0", "");
    assert_missing(&machine.preflight(&[], &[]), "card 0 whole", "without MIG");
    machine.card(
        &format!("{row}, Disabled"),
        "13.0",
        "4711, python3, 1024 MiB",
    );
    assert_missing(
        &machine.preflight(&[], &[]),
        "cards idle",
        "end those processes",
    );
}

#[test]
fn preflight_for_a_finished_binary_needs_no_compiler() {
    let machine = Machine::ready();
    machine.program("nvcc", "exit 127");
    fs::remove_file(machine.programs().join("cargo")).unwrap();
    let output = machine.preflight(&["--run"], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
}

/// A program that writes what a run writes and stops in the middle of the stage in `$STOP_AT` once.
const FAKE_MTOK: &str = r#"
echo "$@" >>"$CALLS"
[ "$1" = run ] || { echo '{}'; exit 0; }
folder=$4
echo '{"seq":0,"type":"session"}' >>"$folder/run.jsonl"
case "$folder" in
  */"$STOP_AT") [ "$5" = --resume ] || exit 143 ;;
esac
echo '{"seq":1,"type":"block","output_sha256":"00ff"}' >>"$folder/run.jsonl"
echo report >"$folder/report.md"
"#;

/// Runs the acceptance of a card as a rehearsal with a fake program; `stop_at` names a stage that runs into
/// a signal the first time.
fn acceptance(machine: &Machine, fake: &str, stop_at: &str) -> Output {
    machine.program("mtok", fake);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/gpu-acceptance");
    Command::new("bash")
        .arg(script)
        .args(["--rehearse", "--out", "carried", "--mtok"])
        .arg(machine.programs().join("mtok"))
        .current_dir(machine.root.path())
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", machine.programs().display()),
        )
        .env("CALLS", machine.root.path().join("calls"))
        .env("STOP_AT", stop_at)
        .output()
        .unwrap()
}

/// Every file under `folder`, relative to it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn acceptance_leaves_one_archive_with_every_stage() {
    let machine = Machine::ready();
    let output = acceptance(&machine, FAKE_MTOK, "nowhere");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let carried = machine.root.path().join("carried");
    let mut names: Vec<_> = files(&carried)
        .iter()
        .map(|path| path.strip_prefix(&carried).unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [Path::new("acceptance.log"), Path::new("stages.tar.gz")]
    );

    let listing = Command::new("tar")
        .arg("tzf")
        .arg(carried.join("stages.tar.gz"))
        .output()
        .unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    for stage in [
        "reference",
        "correctness",
        "decoder",
        "stock",
        "decoder-second",
        "decoder-third",
        "energy",
        "unwatched",
    ] {
        for file in ["study.toml", "run.jsonl", "report.md"] {
            assert!(
                listing.contains(&format!("./{stage}/{file}\n")),
                "{listing}"
            );
        }
    }
    assert!(listing.contains("./doctor/doctor.json\n"), "{listing}");
}

#[test]
fn acceptance_goes_on_where_a_stage_was_cut_off() {
    let machine = Machine::ready();
    let first = acceptance(&machine, FAKE_MTOK, "decoder");
    assert_eq!(first.status.code(), Some(1));
    let carried = machine.root.path().join("carried");
    assert!(carried.join("decoder/run.jsonl").exists());
    assert!(files(&carried).len() <= 8);

    fs::remove_file(machine.root.path().join("calls")).unwrap();
    let second = acceptance(&machine, FAKE_MTOK, "decoder");
    let text = String::from_utf8(second.stdout).unwrap();
    assert_eq!(second.status.code(), Some(0), "{text}");
    let calls = fs::read_to_string(machine.root.path().join("calls")).unwrap();
    let calls: Vec<_> = calls.lines().collect();
    assert_eq!(
        calls.len(),
        1,
        "only the stage that was cut off runs again: {calls:?}"
    );
    assert!(
        calls[0].contains("/decoder --resume --max-minutes"),
        "{}",
        calls[0]
    );
}

#[test]
fn acceptance_keeps_going_after_a_stage_that_failed_and_says_so() {
    let machine = Machine::ready();
    let fake = format!("case \"$*\" in *\"/stock \"*) exit 4 ;; esac\n{FAKE_MTOK}");
    let output = acceptance(&machine, &fake, "nowhere");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("== stock: exit code 4"), "{text}");
    assert!(text.trim_end().ends_with("failed or left: stock"), "{text}");
}

#[test]
fn acceptance_tries_a_stage_again_that_found_no_device() {
    let machine = Machine::ready();
    // The program locks its file before it looks for the device.
    let absent = "case \"$*\" in *\"/stock \"*) : >\"$4/run.jsonl\"; exit 5 ;; esac";
    let first = acceptance(&machine, &format!("{absent}\n{FAKE_MTOK}"), "nowhere");
    assert_eq!(first.status.code(), Some(1));
    let second = acceptance(&machine, FAKE_MTOK, "nowhere");
    let text = String::from_utf8(second.stdout).unwrap();
    assert_eq!(second.status.code(), Some(0), "{text}");
}

#[test]
fn acceptance_leaves_a_stage_that_could_not_be_gone_on_with_and_says_what_to_do() {
    for (code, remedy) in [
        (3, "its record is of another card, program or study: move "),
        (5, "the device is not there"),
        (9, "something could not be written or read"),
        (75, "another run writes the same folder"),
    ] {
        let machine = Machine::ready();
        acceptance(&machine, FAKE_MTOK, "decoder");
        let refused = format!("case \"$*\" in *\"/decoder --resume\"*) exit {code} ;; esac");
        let second = acceptance(&machine, &format!("{refused}\n{FAKE_MTOK}"), "nowhere");
        let text = String::from_utf8(second.stdout).unwrap();
        assert_eq!(second.status.code(), Some(1), "{text}");
        let told = format!("== decoder: left for the next time; {remedy}");
        assert!(text.contains(&told), "{text}");
        assert!(
            text.trim_end().ends_with("failed or left: decoder"),
            "{text}"
        );
        let third = acceptance(&machine, FAKE_MTOK, "nowhere");
        let text = String::from_utf8(third.stdout).unwrap();
        assert_eq!(third.status.code(), Some(0), "{text}");
    }
}

#[test]
fn acceptance_leaves_a_stage_whose_points_time_cut_short() {
    let machine = Machine::ready();
    let skip = r#"{"seq":2,"type":"skip","cause":"out_of_time"}"#;
    let cut_short = format!(
        "{FAKE_MTOK}\ncase \"$*\" in *\"/decoder \"*) echo '{skip}' >>\"$folder/run.jsonl\" ;; esac"
    );
    let first = acceptance(&machine, &cut_short, "nowhere");
    let text = String::from_utf8(first.stdout).unwrap();
    assert_eq!(first.status.code(), Some(1), "{text}");
    assert!(
        text.contains("== decoder: points left for the next time"),
        "{text}"
    );
    let second = acceptance(&machine, FAKE_MTOK, "nowhere");
    let text = String::from_utf8(second.stdout).unwrap();
    assert_eq!(second.status.code(), Some(0), "{text}");
}

#[test]
fn acceptance_stops_at_a_signal_and_goes_on_from_there() {
    let machine = Machine::ready();
    // The script's own shell is the parent of `timeout`, which is the program's. SIGINT would do as well, but what
    // runs in the background of a script inherits it ignored.
    let signal = "case \"$*\" in *\"/decoder \"*) \
        kill -TERM \"$(cut -d ' ' -f 4 /proc/$PPID/stat)\"; STOP_AT=decoder ;; esac";
    let first = acceptance(&machine, &format!("{signal}\n{FAKE_MTOK}"), "nowhere");
    let text = String::from_utf8(first.stdout).unwrap();
    assert_eq!(first.status.code(), Some(1), "{text}");
    assert!(text.contains("== decoder: stopped"), "{text}");
    let calls = fs::read_to_string(machine.root.path().join("calls")).unwrap();
    assert!(
        !calls.contains("/stock "),
        "nothing begins after it: {calls}"
    );
    let second = acceptance(&machine, FAKE_MTOK, "nowhere");
    assert_eq!(second.status.code(), Some(0));
}

#[test]
fn acceptance_keeps_a_stage_that_cannot_be_packed() {
    let machine = Machine::ready();
    machine.program("tar", "exit 1");
    let first = acceptance(&machine, FAKE_MTOK, "nowhere");
    assert_ne!(first.status.code(), Some(0));
    let carried = machine.root.path().join("carried");
    assert!(carried.join("doctor/doctor.json").exists());
}
