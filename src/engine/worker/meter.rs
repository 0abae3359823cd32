//! What the system says of this process: processor time, time stolen from the machine, memory.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

use crate::clock::Clock;
use crate::record::machine::DeviceKind;
use crate::record::observation::CpuUse;
use crate::units::Nanos;

/// Linux reports times to users in hundredths of a second (`USER_HZ`) on every architecture in use.
const TICK_NS: u64 = 10_000_000;

/// Which process counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meter {
    /// This one.
    System,
    /// This one, whose memory is not that of the card it computes on.
    BesideCard,
    /// A scripted one that is busy all the time on a timeline of its own.
    Scripted,
}

/// Readings at the beginning of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    now: Nanos,
    worker: Nanos,
    steal: Option<Nanos>,
}

impl Start {
    /// Reads everything for the first time.
    pub(super) fn now(clock: &dyn Clock) -> Self {
        Self {
            steal: stolen_time(),
            worker: processor_time(),
            now: clock.now(),
        }
    }
}

impl Meter {
    /// The meter of a device.
    pub(super) fn of(kind: DeviceKind) -> Self {
        match kind {
            DeviceKind::Cpu => Self::System,
            DeviceKind::Cuda => Self::BesideCard,
            DeviceKind::Sim => Self::Scripted,
        }
    }

    /// What happened since `start`.
    ///
    /// The parent's share is not seen from here; its handle fills it in.
    pub(super) fn since(self, start: Start, clock: &dyn Clock) -> CpuUse {
        let wall_ns = clock.now().since(start.now).unwrap_or(Nanos::new(0));
        let (worker_ns, steal_ns) = match self {
            Self::System | Self::BesideCard => (
                processor_time().since(start.worker).unwrap_or(wall_ns),
                stolen_time().and_then(|now| now.since(start.steal?)),
            ),
            Self::Scripted => (wall_ns, None),
        };
        CpuUse {
            wall_ns,
            worker_ns,
            parent_ns: Nanos::new(0),
            steal_ns,
        }
    }

    /// Forgets the highest memory use of the process so far. `None` where the system refuses, and then
    /// the mark that remains is not that of a block.
    pub(super) fn reset_peak_memory(self) -> Option<()> {
        match self {
            Self::System => fs::write("/proc/self/clear_refs", "5").ok(),
            Self::BesideCard | Self::Scripted => None,
        }
    }

    /// Highest resident memory of the process since the reset.
    pub(super) fn peak_memory(self) -> Option<u64> {
        match self {
            Self::System => status_bytes("VmHWM:"),
            Self::BesideCard | Self::Scripted => None,
        }
    }
}

/// Processor time of this process, all threads.
pub(super) fn processor_time() -> Nanos {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Nanos::new(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

/// Anonymous memory that this process has resident.
pub(super) fn anonymous_bytes() -> Option<u64> {
    status_bytes("RssAnon:")
}

/// How many processes the kernel killed for memory since boot.
pub(super) fn out_of_memory_kills() -> Option<u64> {
    let text = fs::read_to_string("/proc/vmstat").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

/// Time that the hypervisor gave to others, all processors together.
fn stolen_time() -> Option<Nanos> {
    steal_in(&fs::read_to_string("/proc/stat").ok()?)
}

/// The eighth number of the line `cpu` (proc_stat(5)).
fn steal_in(stat: &str) -> Option<Nanos> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: u64 = line.split_whitespace().nth(8)?.parse().ok()?;
    Some(Nanos::new(ticks.checked_mul(TICK_NS)?))
}

fn status_bytes(key: &str) -> Option<u64> {
    kibibytes_in(&fs::read_to_string("/proc/self/status").ok()?, key)
}

fn kibibytes_in(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_number_in_hundredths_of_a_second() {
        let stat = "cpu  100 2 30 4000 5 6 7 80 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(steal_in(stat), Some(Nanos::new(800_000_000)));
        assert_eq!(steal_in("cpu  1 2 3\n"), None);
    }

    #[test]
    fn memory_is_told_in_kibibytes() {
        let status = "VmPeak:\t  900 kB\nVmHWM:\t  512 kB\nRssAnon:\t 100 kB\n";
        assert_eq!(kibibytes_in(status, "VmHWM:"), Some(512 * 1024));
        assert_eq!(kibibytes_in(status, "VmSwap:"), None);
    }

    #[test]
    fn the_memory_of_a_process_beside_a_card_is_not_that_of_the_card() {
        assert!(Meter::of(DeviceKind::Cpu).peak_memory().is_some());
        let beside = Meter::of(DeviceKind::Cuda);
        assert_eq!(beside.reset_peak_memory(), None);
        assert_eq!(beside.peak_memory(), None);
    }

    #[test]
    fn the_peak_follows_memory_that_was_touched_and_given_back() {
        if Meter::System.reset_peak_memory().is_none() {
            // A sandbox may deny it, and then there is no peak to be had.
            return;
        }
        // Other tests of this process may give back memory meanwhile, so that one look may see less.
        let mut looks = Vec::new();
        for _ in 0..10 {
            Meter::System.reset_peak_memory().unwrap();
            let before = Meter::System.peak_memory().unwrap();
            let touched = vec![1u8; 64 << 20];
            assert_eq!(std::hint::black_box(&touched).len(), 64 << 20);
            drop(touched);
            let after = Meter::System.peak_memory().unwrap();
            if after >= before + (60 << 20) {
                return;
            }
            looks.push((before, after));
        }
        panic!("the peak never followed: {looks:?}");
    }
}
