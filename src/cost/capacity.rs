//! What one replica can carry: seconds of replica time that a user request takes.

use super::bill::ApiCase;
use super::conversation::{Call, Role};
use super::piece::pieces;
use super::traffic::Demand;

/// The throughput of one replica as stated or measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Output tokens per second of the mix.
    pub output: Option<f64>,
    /// Uncached input tokens per second of the mix, measured together with the output.
    pub input: Option<f64>,
    /// Prefill alone.
    pub prefill: Option<f64>,
    /// Decode alone.
    pub decode: Option<f64>,
    /// Requests per second at the service-level objective.
    pub goodput: Option<f64>,
}

/// How capacity follows from the rates, in order of precedence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Basis {
    /// Goodput at the objective.
    Goodput {
        /// Requests per second.
        requests: f64,
    },
    /// Input and output measured together.
    Together {
        /// Uncached input tokens per second.
        input: f64,
        /// Output tokens per second.
        output: f64,
    },
    /// Prefill and decode measured alone.
    Apart {
        /// Input tokens per second.
        prefill: f64,
        /// Output tokens per second.
        decode: f64,
    },
    /// An output rate and nothing else.
    OutputOnly {
        /// Output tokens per second.
        output: f64,
    },
}

impl Rates {
    /// The basis of the capacity; `None` without a usable rate.
    pub fn basis(&self) -> Option<Basis> {
        match *self {
            Self {
                goodput: Some(requests),
                ..
            } => Some(Basis::Goodput { requests }),
            Self {
                input: Some(input),
                output: Some(output),
                ..
            } => Some(Basis::Together { input, output }),
            Self {
                prefill: Some(prefill),
                decode: Some(decode),
                ..
            } => Some(Basis::Apart { prefill, decode }),
            Self {
                output: Some(output),
                ..
            } => Some(Basis::OutputOnly { output }),
            Self { output: None, .. } => None,
        }
    }
}

/// Tokens that the self-hosted model handles per user request, semantic hits, retries and limits
/// included, in its own tokenizer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// Calls.
    pub calls: f64,
    /// Input that is not in the prefix cache.
    pub uncached_tokens: f64,
    /// Input in all.
    pub input_tokens: f64,
    /// Output.
    pub output_tokens: f64,
    /// Share of the answers that a limit refuses.
    pub rejected_share: f64,
}

impl Work {
    /// The work of a workload; without an API side both tokenizers are one.
    pub fn new(demand: &Demand, calls: &[Call], api: Option<&ApiCase>) -> Self {
        let ratio = api.map_or(1.0, |api| api.tokenizer_ratio);
        let (input, output) = (demand.input_factor(), demand.output_factor());
        let mut work = Self::default();
        let mut answered = 0.0;
        for call in calls {
            for piece in pieces(*call, demand, &[]) {
                let reused = match piece.call.role {
                    Role::Answer => {
                        answered += piece.calls;
                        demand.prefix_hit_rate * piece.shared
                    }
                    Role::Summary => 0.0,
                };
                work.calls += piece.calls * input;
                work.input_tokens += piece.input * input * ratio;
                work.uncached_tokens += (piece.input - reused) * input * ratio;
                work.output_tokens += piece.output * output * ratio;
            }
        }
        // Rounding leaves a few ulps of a share that is nothing.
        work.rejected_share = if answered < 1.0 - 1e-9 {
            1.0 - answered
        } else {
            0.0
        };
        work
    }

    /// Replica seconds per user request at full load.
    pub fn seconds(&self, basis: Basis) -> f64 {
        match basis {
            Basis::Goodput { requests } => self.calls / requests,
            Basis::Together { input, output } => {
                (self.uncached_tokens / input).max(self.output_tokens / output)
            }
            Basis::Apart { prefill, decode } => {
                self.uncached_tokens / prefill + self.output_tokens / decode
            }
            Basis::OutputOnly { output } => self.output_tokens / output,
        }
    }

    /// κ of the time-share split: what a second of the mix holds of a second of prefill and decode
    /// measured alone. 1 is pure time sharing, below it the two overlap, above it time is lost.
    pub fn kappa(&self, rates: &Rates) -> Option<f64> {
        let (prefill, decode) = (rates.prefill?, rates.decode?);
        let busy = self.uncached_tokens / prefill + self.output_tokens / decode;
        let seconds = self.seconds(rates.basis()?);
        (busy > 0.0).then(|| seconds / busy)
    }
}

/// What limits a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// Reading prompts.
    Prefill,
    /// Writing answers.
    Decode,
    /// The stated goodput.
    Goodput,
    /// Memory for the sequences in flight.
    Kv,
}

/// The capacity of one replica for a workload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// Replica seconds per user request at full load.
    pub seconds_per_request: f64,
    /// The same where only memory limits, without regard to the target load.
    pub kv_seconds_per_request: f64,
    /// What limits it.
    pub binding: Binding,
    /// Seconds that one call takes, where a batch size tells.
    pub latency_seconds: Option<f64>,
}

impl Capacity {
    /// The capacity from a basis and, where known, the batch size and the sequences that fit
    /// (Little: sequences in flight = calls per second · latency).
    pub fn new(
        work: &Work,
        rates: &Rates,
        batch_size: Option<f64>,
        sequences: Option<f64>,
    ) -> Option<Self> {
        let basis = rates.basis()?;
        let seconds = work.seconds(basis);
        let latency = batch_size.and_then(|batch| latency(work, rates, batch));
        let kv_seconds = match (latency, sequences) {
            (Some(latency), Some(sequences)) if sequences > 0.0 => work.calls * latency / sequences,
            (_, _) => 0.0,
        };
        let binding = if kv_seconds > seconds {
            Binding::Kv
        } else {
            match basis {
                Basis::Goodput { .. } => Binding::Goodput,
                Basis::Together { input, output } => {
                    larger(work.uncached_tokens / input, work.output_tokens / output)
                }
                Basis::Apart { prefill, decode } => {
                    larger(work.uncached_tokens / prefill, work.output_tokens / decode)
                }
                Basis::OutputOnly { .. } => Binding::Decode,
            }
        };
        Some(Self {
            seconds_per_request: seconds.max(kv_seconds),
            kv_seconds_per_request: kv_seconds,
            binding,
            latency_seconds: latency,
        })
    }

    /// Replica seconds per user request that the fleet is sized with.
    pub fn sizing_seconds(&self, target_load: f64) -> f64 {
        (self.seconds_per_request / target_load).max(self.kv_seconds_per_request)
    }
}

fn larger(prefill: f64, decode: f64) -> Binding {
    if prefill > decode {
        Binding::Prefill
    } else {
        Binding::Decode
    }
}

/// One call in a full batch: its prompt at the prefill rate where known, then one token per step.
fn latency(work: &Work, rates: &Rates, batch_size: f64) -> Option<f64> {
    let decode = rates.decode.or(rates.output)?;
    if work.calls <= 0.0 {
        return None;
    }
    let prefill = rates
        .prefill
        .map_or(0.0, |rate| work.uncached_tokens / rate);
    Some((prefill + work.output_tokens * batch_size / decode) / work.calls)
}
