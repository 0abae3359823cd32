//! The child's side of the conversation.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::Thread;
use std::time::Duration;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::host::{AnonymousPeak, Host};
use super::protocol::{Reply, Request};
use super::{Refusal, Worker, WorkerError, reader};
use crate::clock::Clock;
use crate::engine::Progress;

/// How often progress is reported.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often memory is looked at while a model is loaded. Nothing is timed then.
const LOADING_HEARTBEAT: Duration = Duration::from_millis(20);

/// The kernel's highest wish to be killed first when memory ends (`proc_pid_oom_score_adj(5)`).
const KILL_ME_FIRST: &str = "1000";

/// What the main thread is at, for the thread that reports progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Idle,
    Busy,
    Loading,
}

/// Serves requests from standard input until it ends; the exit code.
///
/// Has to be called from the main thread of a process that does nothing else. `clock` is the machine's.
/// The process never outlives its parent: it ends with its standard input and on the death of the
/// thread that started it.
pub fn serve(clock: Arc<dyn Clock>) -> i32 {
    if die_with_the_parent().is_none() {
        return 0;
    }
    // Refused only where /proc is not what it should be; then the kernel chooses by itself.
    let _ = std::fs::write("/proc/self/oom_score_adj", KILL_ME_FIRST);

    let progress = Arc::new(Progress::default());
    let host = Host::new(clock, Arc::clone(&progress));
    let mouth = Arc::new(Mouth::default());
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || listen(&sender));
    let heart = Heart {
        mouth: Arc::clone(&mouth),
        progress,
        loading: host.loading(),
    };
    let heart = std::thread::spawn(move || heart.beat());
    mouth.heart.get_or_init(|| heart.thread().clone());
    answer(host, &mouth, &requests)
}

/// Asks the kernel to kill this process when its parent dies; `None` if it did already.
fn die_with_the_parent() -> Option<()> {
    let parent = getppid();
    // Refused only where seccomp forbids it; the end of standard input remains.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    (getppid() == parent).then_some(())
}

/// Hands lines on and ends the process with the input, whatever the main thread is at.
fn listen(requests: &mpsc::Sender<String>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if requests.send(line).is_err() {
            break;
        }
    }
    std::process::exit(0);
}

fn answer(mut host: Host, mouth: &Mouth, requests: &mpsc::Receiver<String>) -> i32 {
    for line in requests {
        let reply = match serde_json::from_str(&line) {
            Ok(request) => {
                mouth.now_at(match request {
                    Request::Load(_) => Activity::Loading,
                    Request::Identify(_)
                    | Request::ReadText(_)
                    | Request::Prompts(_)
                    | Request::Peaks { .. }
                    | Request::Describe
                    | Request::Reserve(_)
                    | Request::Check(_)
                    | Request::Block(_)
                    | Request::Tokenize(_)
                    | Request::SetAside
                    | Request::Store(_)
                    | Request::Score(_) => Activity::Busy,
                });
                dispatch(&mut host, request)
            }
            Err(error) => Reply::Refused(Refusal::Invalid {
                reason: format!("the worker does not understand its parent: {error}"),
            }),
        };
        mouth.now_at(Activity::Idle);
        if mouth.say(&reply).is_err() {
            return 0;
        }
    }
    0
}

fn dispatch(host: &mut Host, request: Request) -> Reply {
    let reply = match request {
        Request::Identify(order) => host.identify(&order).map(Reply::Identified),
        Request::Peaks { order, dtypes } => host.peaks(&order, &dtypes).map(Reply::Peaks),
        Request::ReadText(order) => reader::read(&order).map(Reply::Text),
        Request::Prompts(passages) => {
            host.cut_prompts_from(passages);
            Ok(Reply::Prompted)
        }
        Request::Load(order) => host.load(&order).map(Reply::Loaded),
        Request::Describe => host.describe().map(Reply::Described),
        Request::Reserve(capacity) => host.reserve(capacity).map(|()| Reply::Reserved),
        Request::Check(order) => host.check(&order).map(Reply::Checked),
        Request::Block(order) => host.block(&order).map(Reply::Block),
        Request::Tokenize(order) => host.tokenize(&order).map(Reply::Tokenized),
        Request::SetAside => host.set_aside().map(|()| Reply::SetAside),
        Request::Store(order) => host.store(&order).map(Reply::Stored),
        Request::Score(order) => host.score(&order).map(Reply::Scored),
    };
    reply.unwrap_or_else(|error| {
        Reply::Refused(match error {
            WorkerError::Refused(refusal) => refusal,
            WorkerError::Lost(loss) => Refusal::Invalid {
                reason: loss.reason,
            },
            WorkerError::CardLost { .. } | WorkerError::Interrupted => Refusal::Invalid {
                reason: error.to_string(),
            },
        })
    })
}

/// Standard output, shared by the thread that answers and the one that reports progress.
#[derive(Default)]
struct Mouth {
    activity: AtomicU8,
    heart: OnceLock<Thread>,
    turn: Mutex<()>,
}

impl Mouth {
    fn now_at(&self, activity: Activity) {
        self.activity.store(activity as u8, Ordering::Relaxed);
        if activity == Activity::Loading
            && let Some(heart) = self.heart.get()
        {
            heart.unpark();
        }
    }

    fn activity(&self) -> Activity {
        let now = self.activity.load(Ordering::Relaxed);
        [Activity::Idle, Activity::Busy, Activity::Loading]
            .into_iter()
            .find(|activity| *activity as u8 == now)
            .unwrap_or(Activity::Idle)
    }

    fn say(&self, reply: &Reply) -> std::io::Result<()> {
        let mut line = serde_json::to_string(reply)?;
        line.push('\n');
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.flush()
    }
}

/// The thread that shows that the process lives and how far it is.
struct Heart {
    mouth: Arc<Mouth>,
    progress: Arc<Progress>,
    loading: Arc<AnonymousPeak>,
}

impl Heart {
    fn beat(&self) {
        let mut since_last = Duration::ZERO;
        loop {
            let pause = match self.mouth.activity() {
                Activity::Idle | Activity::Busy => HEARTBEAT,
                Activity::Loading => LOADING_HEARTBEAT,
            };
            std::thread::park_timeout(pause);
            since_last += pause;
            match self.mouth.activity() {
                Activity::Idle => continue,
                Activity::Busy => {}
                Activity::Loading => {
                    let _ = self.loading.sample();
                }
            }
            if since_last >= HEARTBEAT {
                since_last = Duration::ZERO;
                if self
                    .mouth
                    .say(&Reply::Progress(self.progress.steps()))
                    .is_err()
                {
                    return;
                }
            }
        }
    }
}
