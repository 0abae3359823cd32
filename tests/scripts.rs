//! The scripts for a rented card, on a machine that only pretends to have one.

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
