//! All variants of a job, one after the other.

use std::sync::atomic::Ordering;

use super::pace::Pace;
use super::reference::{Held, load};
use super::windows::window;
use super::{Ended, Event, Job, Outlets, QualityError, Role};
use crate::engine::TokenId;
use crate::engine::worker::{
    Launcher, Order, ReferenceAt, Refusal, ScoreOrder, WindowSeen, Worker, WorkerError,
};
use crate::record::observation::{EndStatus, EngineFacts, FailureKind, Record};
use crate::record::scoring::{Pairing, Reference, Scoring, Unscored, Window};
use crate::study::variant::Variant;
use crate::units::Nanos;

/// What a job has come to.
pub(super) struct Driver<'j, 'o> {
    pub(super) job: &'j Job<'j>,
    pub(super) launcher: &'o mut dyn Launcher,
    pub(super) outlets: Outlets<'o>,
    next_scoring: u32,
    /// Where the reference is, once it is anywhere.
    reference: Option<Held>,
    pub(super) pace: Pace,
    unscored: u32,
}

/// Why a variant has no result.
pub(super) enum Trouble {
    /// The user wants to stop.
    Interrupted,
    /// The judged model failed.
    Judged(WorkerError),
    /// Nothing can go on.
    Fatal(QualityError),
}

impl From<QualityError> for Trouble {
    fn from(error: QualityError) -> Self {
        Self::Fatal(error)
    }
}

impl<'j, 'o> Driver<'j, 'o> {
    pub(super) fn new(
        job: &'j Job<'j>,
        launcher: &'o mut dyn Launcher,
        outlets: Outlets<'o>,
    ) -> Self {
        let numbers = job.before.iter().filter_map(|record| {
            let Record::Scoring(scoring) = record else {
                return None;
            };
            Some(scoring.scoring + 1)
        });
        Self {
            next_scoring: numbers.max().unwrap_or(0),
            job,
            launcher,
            outlets,
            reference: None,
            pace: Pace::default(),
            unscored: 0,
        }
    }

    pub(super) fn run(mut self) -> Result<Ended, QualityError> {
        let missing: Vec<Variant> = self
            .job
            .variants
            .iter()
            .copied()
            .filter(|variant| !self.judged_before(*variant))
            .collect();
        let mut status = EndStatus::Complete;
        let begun = self.outlets.clock.now();
        for (index, &variant) in missing.iter().enumerate() {
            let spent = self.outlets.clock.now().since(begun);
            let spent = spent.unwrap_or(Nanos::new(0)).seconds();
            if self.job.budget.is_some_and(|budget| spent >= budget) {
                break;
            }
            self.pace.passes = (missing.len() - index) as u32;
            match self.judge(variant) {
                Ok(()) => {}
                Err(Trouble::Judged(error)) => self.note(variant, error)?,
                Err(Trouble::Interrupted) => {
                    status = EndStatus::Interrupted;
                    break;
                }
                Err(Trouble::Fatal(error)) => return Err(error),
            }
        }
        Ok(Ended {
            status,
            unscored: self.unscored,
        })
    }

    /// Whether an earlier session has every window of a variant on the same text.
    fn judged_before(&self, variant: Variant) -> bool {
        let scorings = self.job.before.iter().filter_map(|record| {
            let Record::Scoring(scoring) = record else {
                return None;
            };
            Some(scoring.as_ref())
        });
        let same = |scoring: &&Scoring| {
            scoring.variant() == variant
                && scoring.text == *self.job.text
                && scoring.reference.source == self.job.reference.source
                && scoring.reference.precision == self.job.reference.precision
        };
        scorings.filter(same).any(|scoring| {
            let windows = self.job.before.iter().filter(|record| {
                matches!(record, Record::Window(window) if window.scoring == scoring.scoring)
            });
            windows.count() == self.job.text.windows as usize
        })
    }

    /// Judges one variant; where both models turn out not to fit, with the reference on disk.
    fn judge(&mut self, variant: Variant) -> Result<(), Trouble> {
        self.go_on()?;
        let mut held = match self.reference.take() {
            Some(held) => held,
            None => self.hold_reference()?,
        };
        if let Some(reason) = self.why_not_beside(&held, variant.precision) {
            drop(held);
            held = self.write_reference(&reason)?;
        }
        let beside = held.is_beside();
        match self.judge_against(held, variant) {
            Err(Trouble::Judged(error)) if beside && is_memory(&error) => {
                self.reference = None;
                let held = self.write_reference(&error.to_string())?;
                self.judge_against(held, variant)
            }
            outcome => outcome,
        }
    }

    /// Judges one variant against the reference where it is now.
    fn judge_against(&mut self, mut held: Held, variant: Variant) -> Result<(), Trouble> {
        let outcome = match &mut held {
            Held::Beside { worker, engine } => {
                self.score_all(variant, worker.as_mut(), (engine, Pairing::Resident))
            }
            Held::OnDisk { engine, error } => match self.launcher.launch() {
                Ok(mut worker) => {
                    let pairing = Pairing::Stored { error: *error };
                    self.score_all(variant, worker.as_mut(), (engine, pairing))
                }
                Err(error) => Err(judged(error)),
            },
        };
        // A worker that is lost takes a reference that lies in it along.
        let lost = matches!(outcome, Err(Trouble::Judged(WorkerError::Lost(_))));
        if !(lost && held.is_beside()) {
            self.reference = Some(held);
        }
        outcome
    }

    fn score_all(
        &mut self,
        variant: Variant,
        worker: &mut dyn Worker,
        (reference, pairing): (&EngineFacts, Pairing),
    ) -> Result<(), Trouble> {
        let role = Role::Judged;
        (self.outlets.observer)(Event::Loading { variant, role });
        let order = Order {
            precision: variant.precision,
            kv: variant.kv,
            ..self.job.model.clone()
        };
        let text = self.job.text;
        let loaded = load(worker, &order, text.context).map_err(judged)?;
        let scoring = self.next_scoring;
        self.next_scoring += 1;
        self.store(&[Record::Scoring(Box::new(Scoring {
            scoring,
            precision: variant.precision,
            kv: variant.kv,
            engine: loaded.engine,
            reference: Reference {
                source: self.job.reference.source.clone(),
                precision: self.job.reference.precision,
                engine: reference.clone(),
            },
            text: text.clone(),
            pairing,
            started: loaded.started,
            load_ns: loaded.duration,
            quantizing: loaded.quantizing,
        }))])?;
        let mut done = 0;
        while done < text.windows {
            self.go_on()?;
            let (windows, begun) = (self.next_windows(done), self.outlets.clock.now());
            let count = windows.len() as u32;
            let seen = worker.score(&ScoreOrder {
                windows,
                first: text.first,
                reference: match pairing {
                    Pairing::Resident => ReferenceAt::Beside,
                    Pairing::Stored { .. } => ReferenceAt::File {
                        file: self.job.meeting.file.to_owned(),
                        window: done,
                    },
                },
            });
            let records: Vec<Record> = (done..)
                .zip(seen.map_err(judged)?)
                .map(|(window, seen)| record(scoring, window, seen))
                .collect();
            self.store(&records)?;
            done += count;
            self.keep_pace((count, begun), done, (variant, role));
        }
        Ok(())
    }

    /// Tokens of the windows of the next request.
    pub(super) fn next_windows(&self, done: u32) -> Vec<Vec<TokenId>> {
        let text = self.job.text;
        let end = text.windows.min(done + self.pace.windows);
        (done..end)
            .map(|number| window(self.job.ids, text, number))
            .collect()
    }

    /// Learns from the last request how many windows the next may have, and tells how far it is.
    pub(super) fn keep_pace(
        &mut self,
        (count, begun): (u32, Nanos),
        done: u32,
        (variant, role): (Variant, Role),
    ) {
        let spent = self.outlets.clock.now().since(begun);
        self.pace
            .learn(count, spent.unwrap_or(Nanos::new(0)).seconds());
        let of = self.job.text.windows;
        (self.outlets.observer)(Event::Windows {
            variant,
            role,
            done,
            of,
            ahead: self.pace.ahead(of - done, of),
        });
    }

    pub(super) fn go_on(&self) -> Result<(), Trouble> {
        if self.outlets.interrupt.load(Ordering::Relaxed) > 0 {
            return Err(Trouble::Interrupted);
        }
        Ok(())
    }

    fn store(&mut self, records: &[Record]) -> Result<(), QualityError> {
        (self.outlets.sink)(records).map_err(QualityError::Sink)
    }

    /// Records that a variant has no result.
    fn note(&mut self, variant: Variant, error: WorkerError) -> Result<(), QualityError> {
        let reason = error.to_string();
        let (kind, stderr) = match error {
            WorkerError::Lost(loss) => (loss.kind, loss.stderr),
            WorkerError::Refused(refusal) => (refusal.kind(), Vec::new()),
            WorkerError::CardLost { .. } | WorkerError::Interrupted => {
                (FailureKind::Crashed, Vec::new())
            }
        };
        let unscored = Unscored {
            precision: variant.precision,
            kv: variant.kv,
            kind,
            reason,
            stderr,
        };
        (self.outlets.observer)(Event::Unscored(&unscored));
        self.unscored += 1;
        self.store(&[Record::Unscored(unscored)])
    }
}

fn judged(error: WorkerError) -> Trouble {
    match error {
        WorkerError::Interrupted => Trouble::Interrupted,
        error => Trouble::Judged(error),
    }
}

/// Whether memory was what was missing.
fn is_memory(error: &WorkerError) -> bool {
    match error {
        WorkerError::Refused(Refusal::OutOfMemory { .. }) => true,
        WorkerError::Lost(loss) => loss.kind == FailureKind::Oom,
        WorkerError::Refused(
            Refusal::Model { .. }
            | Refusal::Unsupported { .. }
            | Refusal::Device { .. }
            | Refusal::Storage { .. }
            | Refusal::Invalid { .. },
        )
        | WorkerError::CardLost { .. }
        | WorkerError::Interrupted => false,
    }
}

fn record(scoring: u32, window: u32, seen: WindowSeen) -> Record {
    Record::Window(Box::new(Window {
        scoring,
        window,
        surprise: seen.surprise,
        surprise_reference: seen.surprise_reference,
        delta_p: seen.delta_p,
        delta_p_squared: seen.delta_p_squared,
        same_top: seen.same_top,
        divergence_nano: seen.divergence_nano,
    }))
}
