//! `mtok doctor`: what this machine can run and measure, and what is missing.

use std::fmt::Write as _;

use serde::Serialize;

use super::args::DoctorArgs;
use super::exit::{CliError, Exit};
use super::{doctor_hub, host, output, watch};
use crate::telemetry::findings;

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// In order.
    Ok,
    /// Works, but a result suffers.
    Doubtful,
    /// Not there.
    Missing,
}

/// One thing that a run needs or a report shows.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) what: String,
    /// Which card or MIG instance it is about, if one.
    pub(super) card: Option<String>,
    /// How it stands.
    pub(super) state: State,
    /// What was found.
    pub(super) found: String,
    /// What to do, where something can be done.
    pub(super) remedy: Option<String>,
}

impl Finding {
    fn ok(what: &str, found: String) -> Self {
        Self {
            what: what.to_owned(),
            card: None,
            state: State::Ok,
            found,
            remedy: None,
        }
    }
}

/// Prints every finding. It succeeds whatever is missing: what a run needs, the run demands.
pub(super) fn run(args: &DoctorArgs) -> Result<Exit, CliError> {
    let findings = findings();
    if args.json {
        output::json(&serde_json::json!({ "schema": 1, "findings": findings }))?;
    } else {
        output::data(&render(&findings))?;
    }
    Ok(Exit::Success)
}

fn findings() -> Vec<Finding> {
    let host = host::host();
    let memory = host.memory_bytes as f64 / f64::from(1_u32 << 30);
    let mut findings = vec![
        Finding::ok("program", format!("mtok {}", env!("CARGO_PKG_VERSION"))),
        build(),
        Finding::ok("CPU", format!("{}, {} threads", host.cpu, host.threads)),
        Finding::ok("memory", format!("{memory:.1} GiB")),
        governor(),
        disk(),
    ];
    findings.extend(doctor_hub::findings());
    findings.extend(sensors());
    findings
}

/// What the driver's library says of every visible card, and what a report would miss without it.
fn sensors() -> Vec<Finding> {
    let waiting = |most| output::say(&watch::waiting(most));
    findings::examine(&watch::access(), &watch::visibility(), &waiting)
        .into_iter()
        .map(|finding| Finding {
            what: finding.what.to_owned(),
            card: finding.card,
            state: match finding.remedy {
                None => State::Ok,
                Some(_) => State::Doubtful,
            },
            found: finding.state,
            remedy: finding.remedy,
        })
        .collect()
}

/// Whether this build can use a card.
fn build() -> Finding {
    if cfg!(feature = "cuda") {
        return Finding::ok("build", "with CUDA".to_owned());
    }
    Finding {
        what: "build".to_owned(),
        card: None,
        state: State::Missing,
        found: "without CUDA: models run on the CPU".to_owned(),
        remedy: Some(
            "on a machine with a card and its toolkit: CUDA_COMPUTE_CAP=90 cargo build --release \
             --features cuda"
                .to_owned(),
        ),
    }
}

/// The frequency governor: anything but `performance` makes short CPU work slower and noisier.
fn governor() -> Finding {
    let path = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim() == "performance" => {
            Finding::ok("CPU governor", "performance".to_owned())
        }
        Ok(text) => Finding {
            what: "CPU governor".to_owned(),
            card: None,
            state: State::Doubtful,
            found: text.trim().to_owned(),
            remedy: Some("cpupower frequency-set -g performance".to_owned()),
        },
        Err(_) => Finding::ok("CPU governor", "not exposed by this system".to_owned()),
    }
}

/// Free space where results go.
fn disk() -> Finding {
    /// Enough for records, reports and a quantized file of a small model.
    const ENOUGH: u64 = 2 << 30;
    match rustix::fs::statvfs(".") {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let found = format!("{:.1} GiB free", free as f64 / f64::from(1_u32 << 30));
            if free >= ENOUGH {
                return Finding::ok("disk", found);
            }
            Finding {
                what: "disk".to_owned(),
                card: None,
                state: State::Doubtful,
                found,
                remedy: Some("free some space, or use --out on another disk".to_owned()),
            }
        }
        Err(error) => Finding {
            what: "disk".to_owned(),
            card: None,
            state: State::Missing,
            found: error.to_string(),
            remedy: Some("run where files can be written".to_owned()),
        },
    }
}

fn render(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.what.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let state = match finding.state {
            State::Ok => "ok      ",
            State::Doubtful => "doubtful",
            State::Missing => "missing ",
        };
        let found = output::printable(&finding.found);
        let card = finding.card.as_deref().map_or(String::new(), |card| {
            format!("  [{}]", output::printable(card))
        });
        writeln!(text, "{state}  {:width$}  {found}{card}", finding.what)
            .expect("a String accepts all text");
        if let Some(remedy) = &finding.remedy {
            writeln!(text, "{:width$}            → {remedy}", "")
                .expect("a String accepts all text");
        }
    }
    text
}
