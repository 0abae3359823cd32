//! One thread that asks the card over and over, and windows cut from what it heard.
//!
//! The thread owns the probe. It writes down which question it is about to put and since when, so that
//! a driver that does not answer is seen from outside: the run goes on, [`Sampler::state`] says
//! [`CardState::Silent`], and the sensors are absent with that reason until the driver comes back. The
//! question that held it up is then not put again.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Probe;
use super::asker::{Asker, Board, Phase, Shared};
use super::sensor::{Absence, Process, Question, Reading};
use super::unavailable::Unavailable;

use crate::clock::Clock;
use crate::record::card::CardFacts;
use crate::record::card::Sensors;
use crate::record::sensor::Sensor;
use crate::record::xid;
use crate::units::Nanos;

/// How long the end of a run waits for the thread; it is left behind when the driver hangs.
const PARTING: Duration = Duration::from_secs(2);

/// Time from one reading to the next, 20 to 100 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplePeriod(Nanos);

impl SamplePeriod {
    /// A period of so many milliseconds; `None` outside of 20 to 100.
    pub fn from_milliseconds(milliseconds: u64) -> Option<Self> {
        (20..=100)
            .contains(&milliseconds)
            .then_some(Self(Nanos::new(milliseconds * 1_000_000)))
    }

    /// The same in nanoseconds.
    pub fn nanos(self) -> Nanos {
        self.0
    }
}

impl Default for SamplePeriod {
    /// 50 ms: several readings per renewal of the driver's own values, at a cost that cannot be seen.
    fn default() -> Self {
        Self(Nanos::new(50_000_000))
    }
}

/// Why a card is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// The driver calls it lost.
    Driver,
    /// An XID error that only a reset ends.
    Xid(u64),
}

impl std::fmt::Display for LossCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Driver => f.write_str("the driver says that the card is lost"),
            Self::Xid(number) => write!(f, "XID {number}: {}", xid::meaning(*number)),
        }
    }
}

/// How the card does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardState {
    /// It answers.
    Answering,
    /// The driver has not answered a question for too long.
    Silent {
        /// The question.
        question: Question,
        /// When it was put.
        since: Nanos,
    },
    /// It is lost; nothing more may be tried on it.
    Lost {
        /// When this was noticed.
        at: Nanos,
        /// How.
        cause: LossCause,
    },
}

/// What every sensor answered last, for the live line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// When the last reading was taken.
    pub at: Nanos,
    /// Processes with a compute context, as last listed.
    pub processes: Vec<Process>,
    values: [Result<u64, Absence>; Sensor::COUNT],
}

impl Latest {
    /// The last value of a sensor, unless its last answer was none.
    pub fn value(&self, sensor: Sensor) -> Option<u64> {
        self.values[sensor as usize].ok()
    }

    /// The same as one reading.
    pub fn reading(&self) -> Reading {
        let mut reading = Reading::default();
        for sensor in Sensor::ALL {
            reading.set(sensor, self.values[sensor as usize]);
        }
        reading.processes.clone_from(&self.processes);
        reading
    }

    /// What is known after one more reading.
    pub(crate) fn after(before: Option<Self>, at: Nanos, reading: &Reading) -> Self {
        let mut latest = before.unwrap_or(Self {
            at,
            processes: Vec::new(),
            values: [Err(Absence::NotAsked); Sensor::COUNT],
        });
        latest.at = at;
        for sensor in Sensor::ALL {
            let answer = reading.value(sensor);
            if answer != Err(Absence::NotAsked) {
                latest.values[sensor as usize] = answer;
            }
        }
        if reading.value(Sensor::ProcessCount) != Err(Absence::NotAsked) {
            latest.processes.clone_from(&reading.processes);
        }
        latest
    }
}

/// A running thread that reads a card; dropping it ends the thread.
pub struct Sampler {
    shared: Arc<Shared>,
    facts: CardFacts,
    period: SamplePeriod,
    clock: Arc<dyn Clock>,
}

impl Sampler {
    /// Starts the thread; its first reading asks every question.
    pub fn start(
        probe: Box<dyn Probe>,
        period: SamplePeriod,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Unavailable> {
        let facts = probe.facts().clone();
        let shared = Arc::new(Shared::new());
        let asker = Asker::new(probe, Arc::clone(&shared), Arc::clone(&clock));
        std::thread::Builder::new()
            .name("sampler".to_owned())
            .spawn(move || asker.run(period))
            .map_err(|error| Unavailable::Failed {
                detail: format!("no thread to ask the driver: {error}"),
            })?;
        Ok(Self {
            shared,
            facts,
            period,
            clock,
        })
    }

    /// What the card is.
    pub fn facts(&self) -> &CardFacts {
        &self.facts
    }

    /// Names the process whose memory is read; `None` when no worker runs.
    pub fn watch(&self, worker: Option<u32>) {
        self.shared.watch(worker);
    }

    /// What was read from `from` to `to`, with the nearest reading on either side.
    pub fn cut(&self, from: Nanos, to: Nanos) -> Sensors {
        let silence = self.silence();
        let board = self.shared.board();
        Sensors {
            period_ns: self.period.nanos(),
            ..board.history.cut(from, to, silence.as_deref())
        }
    }

    /// The same for a block, which also tells of XID errors since the block before it.
    pub fn cut_block(&self, from: Nanos, to: Nanos) -> Sensors {
        let silence = self.silence();
        let mut board = self.shared.board();
        Sensors {
            period_ns: self.period.nanos(),
            ..board.history.cut_block(from, to, silence.as_deref())
        }
    }

    /// Why no reading comes.
    fn silence(&self) -> Option<String> {
        match self.state() {
            CardState::Answering => None,
            CardState::Silent { question, since } => Some(format!(
                "the driver has been silent for {:.1} s since it was asked for {}",
                self.waited(since).seconds().value(),
                question.sensors()[0].column(),
            )),
            CardState::Lost { cause, .. } => Some(cause.to_string()),
        }
    }

    /// The last value of every sensor; `None` before the first reading.
    pub fn latest(&self) -> Option<Latest> {
        self.shared.board().latest.clone()
    }

    /// How the card does.
    pub fn state(&self) -> CardState {
        if let Some((at, cause)) = self.shared.board().loss {
            return CardState::Lost { at, cause };
        }
        match self.shared.silent(self.clock.now()) {
            Some((question, since)) => CardState::Silent { question, since },
            None => CardState::Answering,
        }
    }

    /// CPU time of the thread so far: what sampling costs this machine.
    pub fn cpu_time(&self) -> Nanos {
        self.shared.board().cpu_time
    }

    /// Waits until a reading was taken at `moment` or later; `false` when none came within
    /// `limit` or the card is lost. A driver that is silent already is not waited for once more.
    pub fn wait_for_reading(&self, moment: Nanos, limit: Duration) -> bool {
        self.wait_while(limit, |board| lacks_reading(board, moment))
    }

    /// The same for a reading that has no XID error to tell: the driver tells one per reading, and the one that
    /// ends the card may stand behind others.
    pub fn wait_for_last_word(&self, moment: Nanos, limit: Duration) -> bool {
        self.wait_while(limit, |board| {
            let latest = board.latest.as_ref();
            let xid = latest.and_then(|latest| latest.value(Sensor::Xid));
            lacks_reading(board, moment) || xid.is_some()
        })
    }

    /// Waits as long as something is `missing`; whether it came.
    fn wait_while(&self, limit: Duration, missing: impl Fn(&Board) -> bool) -> bool {
        let limit = match self.state() {
            CardState::Answering | CardState::Lost { .. } => limit,
            CardState::Silent { .. } => Duration::ZERO,
        };
        let board = self.shared.board();
        let (board, _) = self
            .shared
            .news
            .wait_timeout_while(board, limit, |board| missing(board) && board.loss.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        !missing(&board)
    }

    fn waited(&self, since: Nanos) -> Nanos {
        self.clock.now().since(since).unwrap_or_default()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        let mut board = self.shared.board();
        board.phase = Phase::Stopping;
        self.shared.news.notify_all();
        if self.shared.silent(self.clock.now()).is_some() {
            return;
        }
        let running = |board: &mut Board| board.phase != Phase::Stopped;
        drop(self.shared.news.wait_timeout_while(board, PARTING, running));
    }
}

fn lacks_reading(board: &Board, moment: Nanos) -> bool {
    board.history.last().is_none_or(|last| last < moment)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::clock::Manual;
    use crate::telemetry::sim::SimProbe;

    const SECOND: u64 = 1_000_000_000;
    const PATIENCE: Duration = Duration::from_secs(20);

    fn clock() -> Arc<Manual> {
        Arc::new(Manual::new(Nanos::new(SECOND)))
    }

    /// A card that has nothing but power, which is always 7.
    fn card(clock: &Arc<Manual>) -> SimProbe {
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        SimProbe::new(CardFacts::default(), clock).constant(Sensor::Power, 7)
    }

    #[test]
    fn a_period_is_twenty_to_a_hundred_milliseconds() {
        assert_eq!(SamplePeriod::from_milliseconds(19), None);
        assert_eq!(SamplePeriod::from_milliseconds(101), None);
        let period = SamplePeriod::from_milliseconds(20).unwrap();
        assert_eq!(period.nanos(), Nanos::new(20_000_000));
    }

    #[test]
    fn the_thread_reads_and_ends_with_its_owner() {
        let clock = clock();
        let (sender, gone) = mpsc::channel::<()>();
        let probe = card(&clock).before_each(move |_| {
            // Owned by the thread: the channel closes when the thread is done.
            let _owned = &sender;
        });
        let start = clock.now();
        let period = SamplePeriod::from_milliseconds(20).unwrap();
        let sampler = Sampler::start(Box::new(probe), period, clock).unwrap();
        assert!(sampler.wait_for_reading(start, PATIENCE));
        assert_eq!(sampler.latest().unwrap().value(Sensor::Power), Some(7));
        assert_eq!(sampler.cut(start, start).columns["power_mw"][0], Some(7));
        assert_eq!(sampler.cut(start, start).period_ns, period.nanos());
        assert!(sampler.cpu_time() > Nanos::new(0));
        drop(sampler);
        let closed = Err(mpsc::RecvTimeoutError::Disconnected);
        assert_eq!(gone.recv_timeout(PATIENCE), closed);
    }

    #[test]
    fn a_driver_that_hangs_is_left_behind() {
        let clock = clock();
        let (reached, hangs) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let probe = card(&clock).before_each(move |question| {
            if question == Question::Temperature {
                reached.send(()).unwrap();
                // Ends when the test lets go of its end.
                let _ = released.recv();
            }
        });
        let start = clock.now();
        let owned = Arc::clone(&clock) as Arc<dyn Clock>;
        let sampler = Sampler::start(Box::new(probe), SamplePeriod::default(), owned).unwrap();
        hangs.recv_timeout(PATIENCE).unwrap();
        assert_eq!(sampler.state(), CardState::Answering);
        clock.advance(Nanos::new(2 * SECOND));
        let question = Question::Temperature;
        assert_eq!(
            sampler.state(),
            CardState::Silent {
                question,
                since: start
            }
        );
        let sensors = sampler.cut(start, clock.now());
        assert_eq!(
            sensors.absent["power_mw"],
            "the driver has been silent for 2.0 s since it was asked for temperature_c"
        );
        // Not for an hour.
        assert!(!sampler.wait_for_reading(clock.now(), Duration::from_hours(1)));
        drop(sampler);
        drop(release);
    }
}
