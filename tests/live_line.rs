//! The live line of `mtok run` on a terminal, and what stands in its place elsewhere.
//!
//! The engine is simulated on the machine's clock and the driver is scripted, so that the line has something
//! to show and time to show it.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like a test"
)]

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use fake_nvml::install::install;
use fake_nvml::script::{Card, ENGINE, Script, Series};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Four blocks, each longer than the line takes to be drawn again.
const STUDY: &str = "[sweep]\nprecision = [\"bf16\"]\nbatch = [1]\nisl = [16]\nosl = [4]\n\
    [measure]\nmin_blocks = 4\nmax_blocks = 4\nmin_block_seconds = 0.7\nmax_seconds = 20\n\
    warmup_seconds = 0\nlaunches = 1\ntarget_ci = 0.9\n";

/// A folder with an engine, a study and a driver whose card is 97 % busy.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut card = Card::working();
    card.sensors.gpu_percent = Series::Constant(97);
    card.sensors.power_instant_mw = Series::Constant(412_000);
    let script = Script {
        cards: vec![card],
        ..Script::default()
    };
    install(folder.path(), &script, &[]).unwrap();
    std::fs::write(folder.path().join("engine.toml"), ENGINE).unwrap();
    std::fs::write(folder.path().join("study.toml"), STUDY).unwrap();
    folder
}

/// A run of the study.
fn run(place: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtok"));
    command
        .args(["run", "study.toml", "--engine", "sim:engine.toml"])
        .args(["--out", "out"])
        .current_dir(place.path())
        .env_remove("MTOK_NVML_LIBRARY")
        .env("LD_LIBRARY_PATH", place.path())
        .env("TERM", "xterm")
        .stdin(Stdio::null());
    command
}

/// Both ends of a terminal of so many columns.
fn terminal(columns: u16) -> (OwnedFd, OwnedFd) {
    let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&outer).unwrap();
    unlockpt(&outer).unwrap();
    let name = ptsname(&outer, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let inner = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&inner, size).unwrap();
    (outer, inner)
}

/// Everything that a run says to a terminal of so many columns.
fn said_to_a_terminal(columns: u16) -> String {
    let place = place();
    let (outer, inner) = terminal(columns);
    let mut command = run(&place);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::from(inner))
        .spawn()
        .unwrap();
    // The command holds the inner end, which has to be gone for the other one to end.
    drop(command);
    let mut said = Vec::new();
    let mut bytes = [0; 4096];
    let mut outer = File::from(outer);
    // A terminal that nobody holds any more fails to be read.
    while let Ok(read @ 1..) = outer.read(&mut bytes) {
        said.extend_from_slice(&bytes[..read]);
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8(said).unwrap()
}

/// A terminal as far as it is written to here.
struct Screen {
    columns: usize,
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    fn new(columns: u16) -> Self {
        Self {
            columns: columns.into(),
            rows: vec![Vec::new()],
            row: 0,
            column: 0,
        }
    }

    /// Writes what a program says. `seen` is shown the row that was written last whenever it is left.
    fn write(&mut self, said: &str, mut seen: impl FnMut(&str)) {
        let mut rest = said.chars();
        while let Some(next) = rest.next() {
            match next {
                '\r' | '\n' | '\u{1b}' => seen(&self.text(self.row)),
                _ => {}
            }
            match next {
                '\r' => self.column = 0,
                '\n' => self.down(),
                '\u{1b}' => self.control(&mut rest),
                _ => self.put(next),
            }
        }
    }

    fn down(&mut self) {
        self.row += 1;
        if self.row == self.rows.len() {
            self.rows.push(Vec::new());
        }
    }

    fn put(&mut self, next: char) {
        if self.column == self.columns {
            self.column = 0;
            self.down();
        }
        let row = &mut self.rows[self.row];
        row.resize(row.len().max(self.column + 1), ' ');
        row[self.column] = next;
        self.column += 1;
    }

    /// Obeys a control sequence, of which the escape character was read.
    fn control(&mut self, rest: &mut std::str::Chars<'_>) {
        assert_eq!(rest.next(), Some('['));
        let mut number = String::new();
        let command = loop {
            match rest.next().unwrap() {
                digit @ ('0'..='9' | '?' | ';') => number.push(digit),
                command => break command,
            }
        };
        match (command, number.as_str()) {
            ('A', up) => self.row -= up.parse().unwrap_or(1),
            ('B', down) => (0..down.parse().unwrap_or(1)).for_each(|_| self.down()),
            ('K', "2") => self.rows[self.row].clear(),
            ('K', _) => self.rows[self.row].truncate(self.column),
            // Colours, and whether the cursor shows.
            ('m', _) | ('l' | 'h', "?25") => {}
            (command, number) => panic!("{command} after {number}"),
        }
    }

    fn text(&self, row: usize) -> String {
        self.rows[row].iter().collect()
    }
}

/// The live lines that a terminal of so many columns has shown, and what is left on it at the end.
fn shown(columns: u16) -> (Vec<String>, Vec<String>) {
    let mut screen = Screen::new(columns);
    let mut lines: Vec<String> = Vec::new();
    screen.write(&said_to_a_terminal(columns), |line| {
        // Elapsed time stands in the live line alone.
        if line.contains(" 00:00:") {
            lines.push(line.to_owned());
        }
    });
    let left = (0..screen.rows.len()).map(|row| screen.text(row)).collect();
    (lines, left)
}

#[track_caller]
fn is_erased_at_the_end(left: &[String]) {
    let text = left.join("\n");
    assert!(text.contains("loaded bf16"), "{text}");
    for live in [" 00:00:", "to go", "97 %"] {
        assert!(!text.contains(live), "{live:?} is left: {text}");
    }
    assert_eq!(left.last().unwrap().trim(), "", "{text}");
}

#[test]
fn a_terminal_shows_speed_card_count_and_time_to_go_in_one_line() {
    let (lines, left) = shown(80);
    let all = [" output tok/s", "97 %", "412 W", " GB", " of 4", " to go"];
    let whole = |line: &&String| all.iter().all(|part| line.contains(part));
    assert!(lines.iter().any(|line| whole(&line)), "{lines:#?}");
    // The rows above it are never written over by a line that is too long.
    assert!(lines.iter().all(|line| line.chars().count() <= 80));
    is_erased_at_the_end(&left);
}

#[test]
fn a_narrow_terminal_shows_the_beginning_of_the_line() {
    let (lines, left) = shown(40);
    let card = ["97 %", "412 W", " GB"];
    let whole = |line: &&String| card.iter().all(|part| line.contains(part));
    assert!(lines.iter().any(|line| whole(&line)), "{lines:#?}");
    is_erased_at_the_end(&left);
}

#[test]
fn without_a_terminal_there_are_plain_lines_and_no_live_one() {
    let output = run(&place()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("loaded bf16"), "{said}");
    assert!(!said.contains(['\r', '\u{1b}']), "{said:?}");
    for live in ["00:00:", "to go", "97 %"] {
        assert!(!said.contains(live), "{live:?}: {said}");
    }
}
