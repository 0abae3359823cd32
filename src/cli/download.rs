//! What fetching a model shows: a bar per file and one for all on a terminal, plain lines elsewhere.

use std::time::Duration;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};

use super::output;
use crate::clock::{Clock as _, Monotonic};
use crate::engine::hub::Event;
use crate::units::Nanos;

/// Shows how a download goes on.
pub(super) struct Download {
    bars: MultiProgress,
    total: ProgressBar,
    file: ProgressBar,
    /// When the file began, and how much of it was there.
    began: (Nanos, u64),
    /// Whether the Hub had to be asked for anything.
    fetched: bool,
}

impl Download {
    /// A display on stderr that shows nothing yet.
    pub(super) fn new() -> Self {
        Self {
            bars: MultiProgress::new(),
            total: ProgressBar::hidden(),
            file: ProgressBar::hidden(),
            began: (Monotonic.now(), 0),
            fetched: false,
        }
    }

    /// Shows an event.
    pub(super) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Resolved { commit } => self.line(&format!("commit {commit}")),
            Event::Stale { reason } => {
                self.line(&format!("taken from the cache as it is: {reason}"));
            }
            Event::Plans { files, bytes } => {
                let noun = if *files == 1 { "file" } else { "files" };
                self.line(&format!("{files} {noun} to fetch, {}", HumanBytes(*bytes)));
                self.total = self.bars.add(bar(*bytes, TOTAL));
            }
            Event::Starts { file, size, held } => {
                self.fetched = true;
                self.file = self.bars.insert_before(&self.total, bar(*size, FILE));
                self.file.set_message(output::printable(file));
                self.file.set_position(*held);
                self.file.reset_eta();
                self.began = (Monotonic.now(), *held);
            }
            Event::Received { bytes } => {
                self.file.inc(*bytes);
                self.total.inc(*bytes);
            }
            Event::Restarts { lost } => {
                self.file.set_position(0);
                self.total.inc_length(*lost);
                self.began.1 = 0;
            }
            Event::Ends { file } => self.ends(file),
            Event::Waits { reason, wait } => {
                let seconds = wait.as_secs_f64();
                self.line(&format!("{reason}; trying again in {seconds:.1} s"));
            }
        }
    }

    fn ends(&mut self, file: &str) {
        if !self.fetched {
            return;
        }
        let (start, held) = self.began;
        let seconds = Duration::from_nanos(Monotonic.now().value().saturating_sub(start.value()));
        let bytes = self.file.position().saturating_sub(held);
        let rate = (bytes as f64 / seconds.as_secs_f64().max(1e-3)) as u64;
        self.file.finish_and_clear();
        self.line(&format!(
            "fetched {file}: {} in {:.1} s, {}/s",
            HumanBytes(bytes),
            seconds.as_secs_f64(),
            HumanBytes(rate)
        ));
    }

    /// Says what stays on the screen.
    fn line(&self, text: &str) {
        if self.bars.is_hidden() {
            output::say(text);
        } else {
            let _ = self.bars.println(output::printable(text));
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.file.finish_and_clear();
        self.total.finish_and_clear();
    }
}

const FILE: &str = "{wide_msg} {bytes}/{total_bytes} {bar:24}";
const TOTAL: &str = "in all {bytes}/{total_bytes}, {bytes_per_sec}, {eta} to go {wide_bar}";

fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
