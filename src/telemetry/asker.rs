//! The sampler's thread: puts the questions, writes down what it hears.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Probe;
use super::history::History;
use super::sampler::{Latest, LossCause, SamplePeriod};
use super::sensor::{Absence, Question, Reading};

use crate::clock::Clock;
use crate::record::sensor::Sensor;
use crate::record::xid::{self, Severity};
use crate::units::Nanos;

/// What a question may take. Those of NVML take well below a millisecond, PCIe traffic 20.
const ANSWER_LIMIT: Nanos = Nanos::new(1_000_000_000);

/// In place of a question when none is being put.
const NOTHING: usize = usize::MAX;

/// In place of a process id when no worker runs; no system gives it to a process.
const NO_WORKER: u32 = u32::MAX;

/// What the thread and its owner share.
pub(super) struct Shared {
    board: Mutex<Board>,
    /// Something on the board changed.
    pub(super) news: Condvar,
    asked: Asked,
    worker: AtomicU32,
}

/// Whether the thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Stopping,
    Stopped,
}

/// What the thread has found out. It is locked only to write a reading down, never while asking.
pub(super) struct Board {
    pub(super) history: History,
    pub(super) latest: Option<Latest>,
    pub(super) loss: Option<(Nanos, LossCause)>,
    pub(super) cpu_time: Nanos,
    pub(super) phase: Phase,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            board: Mutex::new(Board {
                history: History::new(),
                latest: None,
                loss: None,
                cpu_time: Nanos::default(),
                phase: Phase::Running,
            }),
            news: Condvar::new(),
            asked: Asked::new(),
            worker: AtomicU32::new(NO_WORKER),
        }
    }

    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the process whose memory is read.
    pub(super) fn watch(&self, worker: Option<u32>) {
        let worker = worker.unwrap_or(NO_WORKER);
        self.worker.store(worker, Ordering::Relaxed);
    }

    /// The question that has waited for its answer for longer than any should, and since when.
    pub(super) fn silent(&self, now: Nanos) -> Option<(Question, Nanos)> {
        self.asked
            .current()
            .filter(|(_, since)| now.since(*since) > Some(ANSWER_LIMIT))
    }

    fn worker(&self) -> Option<u32> {
        Some(self.worker.load(Ordering::Relaxed)).filter(|worker| *worker != NO_WORKER)
    }
}

/// The question that is being put, and since when.
struct Asked {
    question: AtomicUsize,
    since: AtomicU64,
}

impl Asked {
    fn new() -> Self {
        Self {
            question: AtomicUsize::new(NOTHING),
            since: AtomicU64::new(0),
        }
    }

    fn begin(&self, question: Question, now: Nanos) {
        self.since.store(now.value(), Ordering::Relaxed);
        self.question.store(question as usize, Ordering::Release);
    }

    fn end(&self) {
        self.question.store(NOTHING, Ordering::Release);
    }

    fn current(&self) -> Option<(Question, Nanos)> {
        let question = Question::ALL.get(self.question.load(Ordering::Acquire))?;
        Some((*question, Nanos::new(self.since.load(Ordering::Relaxed))))
    }
}

/// Whether an answer still belongs to the moment of its reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    InTime,
    Late,
}

/// The thread's side: asks, and writes down what it hears.
pub(super) struct Asker {
    probe: Box<dyn Probe>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    reading: Reading,
    /// Questions that are not put any more, and why.
    given_up: [Option<Absence>; Question::COUNT],
}

impl Asker {
    pub(super) fn new(probe: Box<dyn Probe>, shared: Arc<Shared>, clock: Arc<dyn Clock>) -> Self {
        Self {
            probe,
            shared,
            clock,
            reading: Reading::default(),
            given_up: [None; Question::COUNT],
        }
    }

    pub(super) fn run(mut self, period: SamplePeriod) {
        let step = period.nanos().value();
        let mut next = self.clock.now().value();
        for tick in 0.. {
            self.take(tick, period);
            let now = self.clock.now().value();
            // What was missed is not made up for: it shows as a gap.
            next += step * (now.saturating_sub(next) / step + 1);
            if self.rest(Duration::from_nanos(next - now)) == Phase::Stopping {
                break;
            }
        }
        self.shared.board().phase = Phase::Stopped;
        self.shared.news.notify_all();
    }

    /// Takes one reading: every question that is due.
    fn take(&mut self, tick: u64, period: SamplePeriod) {
        if self.shared.board().loss.is_some() {
            return;
        }
        self.reading.clear();
        let at = self.clock.now();
        for question in Question::ALL {
            // What would follow a long wait does not belong to this moment any more.
            if is_due(question, tick, period) && self.put(question) == Pace::Late {
                break;
            }
        }
        let loss = loss(&self.reading).map(|cause| (at, cause));
        let cpu_time = thread_cpu_time();
        let mut board = self.shared.board();
        board.history.push(at, cpu_time, &self.reading);
        board.latest = Some(Latest::after(board.latest.take(), at, &self.reading));
        board.loss = loss;
        board.cpu_time = cpu_time;
        drop(board);
        self.shared.news.notify_all();
    }

    fn put(&mut self, question: Question) -> Pace {
        if let Some(absence) = self.given_up[question as usize] {
            self.reading.set_absent(question, absence);
            return Pace::InTime;
        }
        let before = self.clock.now();
        self.shared.asked.begin(question, before);
        let worker = self.shared.worker();
        self.probe.ask(question, worker, &mut self.reading);
        self.shared.asked.end();
        if self.clock.now().since(before) > Some(ANSWER_LIMIT) {
            let seconds = ANSWER_LIMIT.value() / 1_000_000_000;
            let absence = Absence::TooSlow { seconds };
            self.given_up[question as usize] = Some(absence);
            self.reading.set_absent(question, absence);
            return Pace::Late;
        }
        self.given_up[question as usize] = never_again(question, &self.reading);
        Pace::InTime
    }

    fn rest(&self, pause: Duration) -> Phase {
        let running = |board: &mut Board| board.phase == Phase::Running;
        let board = self.shared.board();
        let (board, _) = self
            .shared
            .news
            .wait_timeout_while(board, pause, running)
            .unwrap_or_else(PoisonError::into_inner);
        board.phase
    }
}

/// Questions that are not put in every reading are spread over the readings.
fn is_due(question: Question, tick: u64, period: SamplePeriod) -> bool {
    let every = question
        .interval()
        .value()
        .div_ceil(period.nanos().value())
        .max(1);
    tick == 0 || tick % every == question as u64 % every
}

/// The absence that all sensors of a question share, when asking again is of no use.
fn never_again(question: Question, reading: &Reading) -> Option<Absence> {
    let mut answers = question
        .sensors()
        .iter()
        .map(|&sensor| reading.value(sensor).err());
    let first = answers.next().flatten()?;
    (first.is_permanent() && answers.all(|other| other.is_some_and(Absence::is_permanent)))
        .then_some(first)
}

fn loss(reading: &Reading) -> Option<LossCause> {
    let fatal = reading
        .value(Sensor::Xid)
        .ok()
        .filter(|&number| xid::severity(number) == Severity::EndsCard);
    let lost = Sensor::ALL
        .iter()
        .any(|&sensor| reading.value(sensor) == Err(Absence::CardLost));
    fatal
        .map(LossCause::Xid)
        .or(lost.then_some(LossCause::Driver))
}

/// CPU time of the calling thread; an amount of work, not a moment, which is why no clock gives it.
fn thread_cpu_time() -> Nanos {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Nanos::new(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::clock::Manual;
    use crate::record::card::CardFacts;
    use crate::record::card::Sensors;
    use crate::telemetry::sim::{SimProbe, Step};

    const SECOND: u64 = 1_000_000_000;

    fn clock() -> Arc<Manual> {
        Arc::new(Manual::new(Nanos::new(SECOND)))
    }

    /// A card with every sensor of `sensors` at 7.
    fn card(clock: &Arc<Manual>, sensors: &[Sensor]) -> SimProbe {
        let probe = SimProbe::new(CardFacts::default(), Arc::clone(clock) as Arc<dyn Clock>);
        sensors
            .iter()
            .fold(probe, |probe, &sensor| probe.constant(sensor, 7))
    }

    fn asker(probe: SimProbe, clock: &Arc<Manual>) -> Asker {
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        Asker::new(Box::new(probe), Arc::new(Shared::new()), clock)
    }

    /// Takes so many readings, one period apart.
    fn take(asker: &mut Asker, clock: &Manual, ticks: u64) {
        let period = SamplePeriod::default();
        for tick in 0..ticks {
            asker.take(tick, period);
            clock.advance(period.nanos());
        }
    }

    fn all_of(asker: &Asker) -> Sensors {
        let board = asker.shared.board();
        board.history.cut(Nanos::new(0), Nanos::new(u64::MAX), None)
    }

    #[test]
    fn readings_lie_on_the_timeline_of_the_clock() {
        let clock = clock();
        let mut asker = asker(card(&clock, &[Sensor::Power]), &clock);
        take(&mut asker, &clock, 3);
        let sensors = all_of(&asker);
        let times: Vec<u64> = sensors.at_ns.iter().map(|at| at.value()).collect();
        assert_eq!(times, [SECOND, SECOND + 50_000_000, SECOND + 100_000_000]);
        assert_eq!(sensors.columns["power_mw"], [Some(7); 3]);
    }

    #[test]
    fn what_changes_rarely_is_asked_once_a_second_and_never_all_at_once() {
        let clock = clock();
        let mut asker = asker(card(&clock, &Sensor::ALL), &clock);
        take(&mut asker, &clock, 41);
        let sensors = all_of(&asker);
        let asked = |sensor: Sensor| -> Vec<usize> {
            let column = &sensors.columns[sensor.column()];
            (0..41).filter(|tick| column[*tick].is_some()).collect()
        };
        assert_eq!(asked(Sensor::Power).len(), 41);
        assert_eq!(
            asked(Sensor::GpmSmActivity),
            (0..41).step_by(2).collect::<Vec<_>>()
        );
        let slow = [
            Sensor::ProcessCount,
            Sensor::PcieRx,
            Sensor::PcieTx,
            Sensor::EccEnabled,
            Sensor::MigEnabled,
        ];
        let mut ticks: Vec<usize> = slow.iter().flat_map(|sensor| asked(*sensor)).collect();
        ticks.retain(|tick| *tick != 0);
        ticks.sort_unstable();
        assert_eq!(ticks.len(), 10);
        ticks.dedup();
        assert_eq!(
            ticks.len(),
            10,
            "two slow questions in one reading: {ticks:?}"
        );
    }

    #[test]
    fn what_the_card_does_not_have_is_asked_once() {
        let clock = clock();
        let (sender, asked) = mpsc::channel();
        let probe = card(&clock, &[Sensor::Energy]).before_each(move |question| {
            sender.send(question).unwrap();
        });
        let mut asker = asker(probe, &clock);
        take(&mut asker, &clock, 5);
        let asked: Vec<Question> = asked.try_iter().collect();
        let count = |wanted| asked.iter().filter(|question| **question == wanted).count();
        assert_eq!((count(Question::Energy), count(Question::Power)), (5, 1));
        assert_eq!(
            all_of(&asker).absent["power_mw"],
            "not supported by this card"
        );
    }

    #[test]
    fn a_question_that_held_up_the_reading_is_not_put_again() {
        let clock = clock();
        let slow = Arc::clone(&clock);
        let probe = card(
            &clock,
            &[Sensor::Energy, Sensor::Power, Sensor::Temperature],
        )
        .before_each(move |question| {
            if question == Question::Power {
                slow.advance(Nanos::new(3 * SECOND));
            }
        });
        let mut asker = asker(probe, &clock);
        take(&mut asker, &clock, 3);
        let sensors = all_of(&asker);
        // What came after the wait was not read at the time of that reading.
        assert_eq!(sensors.columns["temperature_c"], [None, Some(7), Some(7)]);
        assert_eq!(sensors.columns["energy_mj"], [Some(7); 3]);
        assert_eq!(
            sensors.absent["power_mw"],
            "the driver took more than 1 s to answer; not asked again"
        );
        let pause = sensors.at_ns[1].since(sensors.at_ns[0]).unwrap();
        assert_eq!(pause, Nanos::new(3 * SECOND + 50_000_000));
    }

    #[test]
    fn a_fatal_xid_or_a_lost_card_ends_the_questions() {
        for (sensor, shows, cause) in [
            (Sensor::Xid, Ok(79), LossCause::Xid(79)),
            (Sensor::SmClock, Err(Absence::CardLost), LossCause::Driver),
        ] {
            let clock = clock();
            let steps = vec![
                Step {
                    from: Nanos::new(0),
                    shows: Err(Absence::Quiet),
                },
                Step {
                    from: Nanos::new(SECOND + 50_000_000),
                    shows,
                },
            ];
            let mut asker = asker(card(&clock, &[Sensor::Energy]).with(sensor, steps), &clock);
            take(&mut asker, &clock, 9);
            let at = Nanos::new(SECOND + 50_000_000);
            assert_eq!(asker.shared.board().loss, Some((at, cause)));
            assert_eq!(all_of(&asker).at_ns.len(), 2);
        }
    }

    #[test]
    fn a_program_that_fails_is_no_lost_card() {
        let clock = clock();
        let mut asker = asker(card(&clock, &[]).constant(Sensor::Xid, 31), &clock);
        take(&mut asker, &clock, 2);
        assert_eq!(asker.shared.board().loss, None);
        assert_eq!(all_of(&asker).columns["xid"], [Some(31); 2]);
    }

    #[test]
    fn the_latest_value_survives_readings_that_do_not_ask_for_it() {
        let clock = clock();
        let mut asker = asker(card(&clock, &[Sensor::PcieRx, Sensor::Power]), &clock);
        take(&mut asker, &clock, 2);
        let latest = asker.shared.board().latest.clone().unwrap();
        assert_eq!(latest.value(Sensor::PcieRx), Some(7));
        assert_eq!(latest.value(Sensor::Energy), None);
        let reading = latest.reading();
        assert_eq!(reading.value(Sensor::PcieRx), Ok(7));
        assert_eq!(reading.value(Sensor::Energy), Err(Absence::NotSupported));
    }
}
